#pragma once

#include <optional>
#include <string>

#include "init/upgrade/directory.h"
#include "init/upgrade/plan.h"

namespace steppe::upgrade {

// Where the bytes of a new image come from: a download, the running medium. Blocking.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual Result<size_t> read(uint64_t offset, ByteSpan into) = 0;  // 0 at the end
};

struct Judged {
  Manifest manifest;
  Digest section{};  // of the manifest's frame
};
// Says whether a file in the directory is an image for this machine: signature, arch, manifest (verify/). It may take its time
// and run in a child.
class ImageJudge {
 public:
  virtual ~ImageJudge() = default;
  virtual Result<Judged> judge(SlotDirectory& directory, const std::string& name, uint64_t size) = 0;
};

// The two directories: of the images (EFI/Linux on the ESP) and of the record. May be one.
struct Store {
  SlotDirectory& images;
  SlotDirectory& record;
  ImageJudge& judge;
};

// What the loader and the running image say; absent where the machine has none.
struct BootFacts {
  std::optional<std::string> entry_selected, count_path;
  std::optional<Digest> running_section;
};

inline constexpr uint64_t kMaxImage = 512u << 20;  // bytes of an image file; larger ones are foreign

// Reads all that a decision needs: every name, the digest of every image file (read whole), the better copy of the record.
Result<Facts> survey(Store& store, const BootFacts& boot);
// Carries out a plan, step by step; the first failure ends it, with the step named. A written image that does not read back
// with its digest, or is not judged fit, is removed again. `source` is needed by plans of stage() only.
Result<> carry_out(const Plan& plan, Store& store, ImageSource* source);

// Writes an image under a name that nothing starts: synced, read back past the caches, its digest compared, judged fit. On
// failure the name is gone again.
Result<> write_verified(SlotDirectory& directory, ImageJudge& judge, const Step& step, ImageSource* source);
// Over the copy that counts less; the other stays whole whatever happens. read_record gives the better one, or an empty one.
Result<> write_record(SlotDirectory& directory, const Record& record);
Record read_record(SlotDirectory& directory);

// SHA-256 of a whole file, read in pieces.
Result<Digest> digest_of(SlotDirectory& directory, const std::string& name, uint64_t size);

}  // namespace steppe::upgrade
