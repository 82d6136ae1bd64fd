#pragma once

#include <string>

#include "init/base/clock.h"
#include "init/upgrade/carry.h"
#include "init/upgrade/verify/fitness.h"

namespace steppe::esp {

// The certificates, PEM or DER, that lie in these directories as *.crt, *.pem, *.cer or *.der; of a directory that is not there: none.
// What cannot be read is left out and said in `problems`. At most verify::kMaxTrusted.
verify::MachineKeys read_keys(const std::vector<std::string>& directories, std::vector<std::string>& problems);

// Judges files in a child that can do nothing but read the one file and say its verdict: what parses PE and PKCS#7 is not what
// writes the ESP. Called while this process has one thread.
class ConfinedJudge final : public upgrade::ImageJudge {
 public:
  static constexpr Duration kLimit = std::chrono::minutes(2);

  // Names are of files in `directory`. Without any trusted key an image is only described: what lies in a slot was started by the
  // firmware's keys, if by any, and staging asks require_keys().
  ConfinedJudge(std::string directory, verify::Requirements wanted) : directory_(std::move(directory)), wanted_(std::move(wanted)) {}

  Result<upgrade::Judged> judge(upgrade::SlotDirectory& directory, const std::string& name, uint64_t size) override;
  Result<verify::Fit> judge_file(const std::string& path) const;
  Result<> require_keys() const;

 private:
  std::string directory_;
  verify::Requirements wanted_;
};

}  // namespace steppe::esp
