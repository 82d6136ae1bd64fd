#include <fcntl.h>

#include <format>

#include "image/build/workbench.h"
#include "image/cli/commands.h"
#include "image/cli/words.h"
#include "image/disk/device_write.h"
#include "image/disk/target_check.h"
#include "init/sys/device/block_use.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/block_device.h"

namespace steppe::cli {
namespace {

class File final : public disk::Source {
 public:
  explicit File(kernel::BlockDevice file) : file_(std::move(file)) {}
  uint64_t bytes() const override { return file_.bytes(); }
  Result<> read(uint64_t offset, ByteSpan into) override { return file_.read(offset, into); }

 private:
  const kernel::BlockDevice file_;
};

class Device final : public disk::Target {
 public:
  explicit Device(kernel::BlockDevice device) : device_(std::move(device)) {}
  uint64_t bytes() const override { return device_.bytes(); }
  Result<> read(uint64_t offset, ByteSpan into) override { return device_.read(offset, into); }
  Result<> write(uint64_t offset, ByteView from) override { return device_.write(offset, from); }
  Result<> flush() override { return device_.flush(); }
  void read_table_again() const { device_.read_table_again(); }

 private:
  const kernel::BlockDevice device_;
};

// A line that is drawn over itself on a terminal; elsewhere one line a phase.
class Bar {
 public:
  explicit Bar(Context& context) : context_(context) {}
  ~Bar() {
    if (context_.terminal) context_.error("\r\x1b[K");
  }
  void show(const disk::Progress& progress) {
    const bool writes = progress.phase == disk::Progress::Phase::kWrite;
    const std::string_view what = writes ? "writing" : "reading back";
    if (context_.terminal) {
      const int percent = static_cast<int>(progress.done * 100 / progress.total);
      std::string bar(static_cast<size_t>(percent / 4), '#');
      bar.resize(25, '.');
      context_.error(std::format("\r\x1b[K{:<12} [{}] {:>3} %  {} of {} MiB", what, bar, percent, progress.done >> 20,
                                 progress.total >> 20));
    } else if (!said_ || last_ != progress.phase) {
      context_.error(std::format("{} {} MiB\n", what, progress.total >> 20));
    }
    said_ = true;
    last_ = progress.phase;
  }

 private:
  Context& context_;
  bool said_ = false;
  disk::Progress::Phase last_ = disk::Progress::Phase::kWrite;
};

}  // namespace

Result<int> write_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {}, {"yes"}));
  if (words.rest().size() != 2) return Error(Code::kInvalid, "expected a disk image and a device: DISK.raw /dev/sdX");
  const std::string path = build::absolute_path(words.rest()[0], context.working_directory);
  STEPPE_TRY(kernel::BlockDevice opened, kernel::BlockDevice::open(path, kernel::BlockDevice::Access::kRead));
  File image(std::move(opened));
  std::string head(std::min<uint64_t>(4096, image.bytes()), '\0');
  STEPPE_TRY_VOID(image.read(0, std::as_writable_bytes(std::span(head))));
  STEPPE_TRY_VOID(disk::check_disk_image(as_bytes(head), Bytes{image.bytes()}).wrap(path));

  const std::string target = build::absolute_path(words.rest()[1], context.working_directory);
  STEPPE_TRY(const std::string name, device::block_name(target));
  STEPPE_TRY(const device::BlockUse use, device::block_use(name));
  STEPPE_TRY_VOID(disk::check_target(use, Bytes{image.bytes()}, words.value("yes")));
  // The kernel has the last word: it lets nobody open a device alone that is mounted in any namespace.
  STEPPE_TRY(opened, kernel::BlockDevice::open(target, kernel::BlockDevice::Access::kWriteAlone));
  Device device(std::move(opened));
  if (device.bytes() != use.bytes)
    return Error(Code::kUnavailable, std::format("{}: another device came in its place while it was looked at", target));
  Result<std::string> digest("");
  {
    Bar bar(context);
    digest = disk::write_device(image, device, [&bar](const disk::Progress& progress) { bar.show(progress); });
  }
  if (!digest.ok()) return std::move(digest).error().wrap(target);
  device.read_table_again();
  context.out(std::format("{}\n  {} bytes written and read back\n  sha256 {}\n", disk::describe(use), image.bytes(), *digest));
  return 0;
}

}  // namespace steppe::cli
