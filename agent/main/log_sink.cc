#include "agent/main/log_sink.h"

#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "init/base/text.h"
#include "init/json/writer.h"

namespace steppe::agent {

namespace {

std::string render_json(const log::Record& record) {
  std::string line;
  json::Writer writer(&line);
  writer.begin_object();
  writer.key("@level");
  writer.text(log::level_name(record.level));
  writer.key("@message");
  writer.text(std::string(record.message).append(record.scope));
  writer.key("@timestamp");
  writer.text(format_rfc3339(record.time));
  for (const log::Field& field : record.fields) {
    writer.key(field.key);
    writer.text(field.value);
  }
  writer.end_object();
  line.push_back('\n');
  return line;
}

class FdSink final : public log::Sink {
 public:
  FdSink(int fd, LogFormat format) : fd_(fd), format_(format) {}

  void write(const log::Record& record) override {
    const std::string line = format_ == LogFormat::kJson ? render_json(record) : log::render(record);
    const std::lock_guard lock(mutex_);
    std::string_view rest = line;
    while (!rest.empty()) {
      const ssize_t count = ::write(fd_, rest.data(), rest.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return;
      rest.remove_prefix(static_cast<size_t>(count));
    }
  }

 private:
  const int fd_;
  const LogFormat format_;
  std::mutex mutex_;
};

}  // namespace

std::shared_ptr<log::Sink> make_log_sink(int fd, LogFormat format) { return std::make_shared<FdSink>(fd, format); }

}  // namespace steppe::agent
