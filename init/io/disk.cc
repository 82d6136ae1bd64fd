#include "init/io/disk.h"

#include <format>

namespace steppe::io {

Task<Result<>> File::write_and_sync(uint64_t offset, ByteView bytes) {
  STEPPE_CO_TRY_VOID(co_await write_at(offset, bytes));
  co_return co_await sync();
}

Task<Result<std::string>> read_file(Directory& directory, std::string name, Bytes limit) {
  STEPPE_CO_TRY(std::unique_ptr<File> file, co_await directory.open(name, OpenMode::kRead));
  STEPPE_CO_TRY(const uint64_t size, co_await file->size());
  if (size > limit.count) {
    co_return Error(Code::kExhausted, std::format("{}: {} bytes, at most {} are read", name, size, limit.count));
  }
  std::string content(size, '\0');
  STEPPE_CO_TRY(const size_t count, co_await file->read_at(0, std::as_writable_bytes(std::span(content))));
  content.resize(count);
  co_return content;
}

Task<Result<>> replace_file(Directory& directory, std::string name, std::string content) {
  const std::string part = name + ".part";
  {
    STEPPE_CO_TRY(std::unique_ptr<File> file, co_await directory.open(part, OpenMode::kCreate));
    STEPPE_CO_TRY_VOID(co_await file->truncate(0));
    STEPPE_CO_TRY_VOID(co_await file->write_at(0, as_bytes(content)));
    STEPPE_CO_TRY_VOID(co_await file->sync());
  }
  STEPPE_CO_TRY_VOID(co_await directory.rename(part, name));
  co_return co_await directory.sync();
}

}  // namespace steppe::io
