#include "init/machine/node/stderr_sink.h"

#include <unistd.h>

#include <string>

namespace steppe::node {

void StderrSink::write(const log::Record& record) {
  const std::string line = log::render(record);
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // nobody reads: nobody to tell
}

}  // namespace steppe::node
