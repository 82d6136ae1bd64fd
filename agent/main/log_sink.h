#pragma once

#include <memory>

#include "init/base/log.h"

namespace steppe::agent {

enum class LogFormat : uint8_t { kText, kJson };

// Writes records to a descriptor, one write a record, from any thread. Nothing is written twice or torn by our own
// threads; what the descriptor refuses is dropped.
std::shared_ptr<log::Sink> make_log_sink(int fd, LogFormat format);

}  // namespace steppe::agent
