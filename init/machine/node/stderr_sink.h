#pragma once

#include "init/base/log.h"

namespace steppe::node {

// Log lines on standard error, which PID 1 reads. Thread-safe: a line is one write.
class StderrSink final : public log::Sink {
 public:
  void write(const log::Record& record) override;
};

}  // namespace steppe::node
