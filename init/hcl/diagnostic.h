#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "init/base/error.h"
#include "init/hcl/source.h"

namespace steppe::hcl {

enum class Severity : uint8_t { kError, kWarning };

// One finding about a source text, complete in itself: it outlives the text it speaks of.
struct Diagnostic {
  Severity severity = Severity::kError;
  std::string file;
  Position start;
  Position end;
  std::string summary;  // what kind of fault, without a full stop
  std::string detail;   // what was found, what was expected, what to do
  std::string excerpt;  // the line, and a second one with carets under the place; empty without a text

  // "job.hcl:3,5-9: Summary; Detail", then the excerpt.
  std::string text() const;
};

// Collects findings. Past kMaxErrors further errors are counted but not kept, so hostile input cannot grow the list.
class Diagnostics {
 public:
  static constexpr size_t kMaxErrors = 32;

  void error(const Source& source, Range range, std::string summary, std::string detail);
  void warning(const Source& source, Range range, std::string summary, std::string detail);
  // A finding that has no place in a text (a flag, an environment variable, a missing file).
  void error(std::string file, std::string summary, std::string detail);
  void append(Diagnostics other);

  bool has_errors() const { return errors_ != 0; }
  size_t error_count() const { return errors_; }
  bool empty() const { return list_.empty(); }
  const std::vector<Diagnostic>& list() const { return list_; }

  std::string text() const;  // all findings, one after the other
  Error to_error() const;    // requires has_errors(); code kInvalid

 private:
  void add(Diagnostic diagnostic);

  std::vector<Diagnostic> list_;
  size_t errors_ = 0;
};

// The candidate nearest to `name` by edit distance, or "" when none is near enough to be a typing slip.
std::string_view nearest_name(std::string_view name, const std::vector<std::string_view>& candidates);

}  // namespace steppe::hcl
