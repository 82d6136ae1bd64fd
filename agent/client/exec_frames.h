#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "init/base/result.h"

namespace steppe::client {

// The JSON text messages of an exec conversation. Pure.
struct ExecInput {
  std::string stdin_data;
  bool stdin_close = false;
  struct Size {
    uint16_t rows = 0, columns = 0;
  };
  std::optional<Size> tty_size;
};
// {"stdin":{"data":b64,"close":true}}, {"tty_size":{"height":h,"width":w}}, {} is a heartbeat. kInvalid names what is wrong.
Result<ExecInput> parse_exec_input(std::string_view text);

enum class ExecStream : uint8_t { kStdout, kStderr };
std::string exec_output(ExecStream stream, std::string_view data);
std::string exec_closed(ExecStream stream);
std::string exec_exited(int exit_code);

}  // namespace steppe::client
