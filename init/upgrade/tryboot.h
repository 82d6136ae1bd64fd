#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "init/upgrade/carry.h"
#include "init/upgrade/plan.h"

// Slots of a Raspberry Pi that boots by its own firmware, without UEFI: two FAT partitions, and autoboot.txt on a third that says
// which one is started. `reboot` with the argument "0 tryboot" starts the other one once (Raspberry Pi documentation, "autoboot.txt"
// and "Fail-safe OS updates"). The firmware does not count, so the record does. Proven against a model of that firmware
// only, not on a board.
//
//   what holds                                    | how
//   the side that autoboot.txt names stays whole  | only the other one is ever written
//   a half-written side is never started          | its config.txt goes first and comes last
//   autoboot.txt is old or new                    | one sector, overwritten in place
namespace steppe::upgrade::tryboot {

inline constexpr size_t kAutobootBytes = 512;  // one sector, padded
inline constexpr std::string_view kAutoboot = "autoboot.txt", kConfig = "config.txt", kImage = "steppe.efi";
// What the firmware reads of a side, unpacked from the image.
inline constexpr std::string_view kUnpacked[] = {"kernel.img", "initrd.img", "cmdline.txt"};

struct Autoboot {
  uint32_t always = 0, once = 0;  // partitions, 1 to 63
  friend bool operator==(const Autoboot&, const Autoboot&) = default;
};
std::string format_autoboot(const Autoboot& autoboot);  // kAutobootBytes
Result<Autoboot> parse_autoboot(std::string_view text); // kInvalid: not exactly what format_autoboot writes, but for white space and comments

struct Side {
  uint32_t partition = 0;
  uint64_t free_bytes = 0, used_bytes = 0;  // used: by files of ours
  bool complete = false;                    // config.txt and all that it needs
  Digest digest{}, section{};
  std::optional<Manifest> manifest;
};
struct Facts {
  Side sides[2];
  Autoboot autoboot;
  std::optional<uint32_t> running_partition;  // /proc/device-tree/chosen/bootloader/partition
  std::optional<Digest> running_section;
  Record record;
};

enum class ActKind : uint8_t {
  kClear,     // config.txt of the side first, durably, then all of ours
  kWrite,     // the image, verified, then named kImage
  kUnpack,    // kUnpacked
  kActivate,  // config.txt
  kAutoboot,
  kRecord,
};
struct Act {
  ActKind kind;
  size_t side = 0;
  Step write;         // of kWrite
  Autoboot autoboot;
  Record record;
};
struct Plan {
  std::vector<Act> acts;
  Reboot reboot = Reboot::kNone;
  std::string summary;
};

// As their namesakes in plan.h, with the same codes. stage() leaves the image on the idle side; try_staged() starts it.
Result<Plan> recover(const Facts& facts);
Result<Plan> stage(const Facts& facts, const Candidate& candidate, Downgrade downgrade);
Result<Plan> try_staged(const Facts& facts);
Result<Plan> bless(const Facts& facts);
Result<Plan> revert(const Facts& facts);
std::vector<Slot> list(const Facts& facts);

// Takes an image in a directory apart into kUnpacked, each synced. May take its time and run in a child.
class Unpacker {
 public:
  virtual ~Unpacker() = default;
  virtual Result<> unpack(SlotDirectory& directory, const std::string& image) = 0;
};
struct Store {
  SlotDirectory* sides[2];
  SlotDirectory& boot;    // with autoboot.txt
  SlotDirectory& record;
  ImageJudge& judge;
  Unpacker& unpacker;
};
Result<Facts> survey(Store& store, const uint32_t partitions[2], std::optional<uint32_t> running_partition, std::optional<Digest> running_section);
Result<> carry_out(const Plan& plan, Store& store, ImageSource* source);

}  // namespace steppe::upgrade::tryboot
