#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/http/message.h"
#include "agent/maintenance/code_desk.h"

namespace steppe::maintenance {

// Where a document went that was taken.
struct Stored {
  std::string path;
  bool stays = false;  // over a reboot
};

// The API of a machine without a configuration. Both routes want `Authorization: Bearer CODE` (or X-Nomad-Token: CODE):
//
//   GET /v1/machine/status   {"State": "maintenance", "Version": "0.1.0", "Lines": ["eth0 10.0.2.15/24", "/efi/steppe.hcl:3,5: …"]}
//   PUT /v1/machine/config   a machine's configuration (init/machine/machine_config.h), checked whole by the code that a node reads it
//                            with; 200 {"Stored": "/state/config/steppe.hcl", "Kept": true}, or 400 and what is wrong where
//
// 401 for a wrong code, 429 for too many of them, 409 once a document was taken: the code serves for one. Loop thread.
class MaintenanceApi {
 public:
  struct Hooks {
    std::function<Result<Stored>(const std::string& text)> store;
    std::function<std::vector<std::string>()> lines;  // addresses and faults, for people
    std::function<void(const std::string& peer)> wrong_code;
  };
  // `clock` outlives it.
  MaintenanceApi(Secret code, const Clock& clock, Hooks hooks) : desk_(std::move(code)), clock_(clock), hooks_(std::move(hooks)) {}

  http::Response answer(const http::Request& request);
  bool taken() const { return taken_; }

 private:
  http::Response status() const;
  http::Response take(const std::string& text);

  CodeDesk desk_;
  const Clock& clock_;
  const Hooks hooks_;
  bool taken_ = false;
};

}  // namespace steppe::maintenance
