#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/hcl/ast.h"
#include "init/hcl/diagnostic.h"
#include "init/hcl/eval.h"

namespace steppe::machine {

// Reads one body strictly: what nobody asked for by finish() is an error. All faults go to the diagnostics.
class BodyReader {
 public:
  using Check = std::function<Result<>(std::string_view)>;

  BodyReader(const hcl::Source& source, const hcl::Body& body, hcl::Diagnostics& diagnostics, hcl::Budget& budget)
      : source_(source), body_(body), diagnostics_(diagnostics), budget_(budget) {}

  // Each leaves `into` alone when the name is absent, null or wrong. False only when it is absent.
  bool text(std::string_view name, std::string& into, const Check& check = {});
  bool texts(std::string_view name, std::vector<std::string>& into, const Check& check = {});  // kMaxItems at most
  bool map(std::string_view name, std::map<std::string, std::string, std::less<>>& into);
  bool flag(std::string_view name, bool& into);
  bool integer(std::string_view name, int64_t& into, int64_t least, int64_t most);
  // A block without labels that may stand once; the body's reader, finished by us.
  const hcl::Block* block(std::string_view type, const std::function<void(BodyReader&)>& inside);
  // Blocks with one label each, labels unique.
  void blocks(std::string_view type, const Check& label, const std::function<void(BodyReader&, const std::string&)>& inside);
  // A block that is only looked up.
  const hcl::Block* raw_block(std::string_view type);

  void error(std::string_view name, std::string detail);  // about an attribute, or the body's start
  void finish();

 private:
  std::optional<hcl::Value> take(std::string_view name, const hcl::Type& type, bool& present);
  void wrong(hcl::Range range, std::string_view name, std::string detail);

  const hcl::Source& source_;
  const hcl::Body& body_;
  hcl::Diagnostics& diagnostics_;
  hcl::Budget& budget_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace steppe::machine
