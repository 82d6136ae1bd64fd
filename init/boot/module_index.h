#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"

namespace steppe::boot {

// Whether `text` matches the shell pattern: '*' any run, '?' one byte, '[a-f]' and '[!a-f]' one byte of a set; a '[' that
// is never closed stands for itself. The work is at most pattern x text bytes, and both are at most 1,024 bytes long:
// longer ones do not match. Pure.
bool alias_matches(std::string_view pattern, std::string_view text);

// The modules of an image: which file holds a module, what must be loaded before it, and which names ("modalias") a
// device or the kernel may ask for it by. Text, made by the image builder:
//
//   steppe-modules 1
//   file NAME PATH DEP,DEP,...      sorted bytewise; every dependency, in load order; the last column may be missing
//   alias PATTERN NAME              sorted bytewise
//
// '-' and '_' are the same in a NAME. PATH is relative to the index's own directory. The index is only read from the verified
// root, and checked all the same: what is out of order or out of bounds is kCorrupt with its line.
class ModuleIndex {
 public:
  static constexpr size_t kMaxBytes = 16u << 20, kMaxLines = 200'000, kMaxLine = 1'024;

  // Takes the text over. Linear in its size.
  static Result<ModuleIndex> parse(std::string text);

  // The names of all modules whose pattern matches, in the index's order, each once; at most 16. Looks at the lines whose
  // beginning fits, not at all of them.
  std::vector<std::string_view> find(std::string_view modalias) const;

  // The files to load for a module, dependencies first, itself last. Empty when the index has no such module; at most 64.
  std::vector<std::string_view> files(std::string_view name) const;

  size_t file_count() const { return files_.size(); }
  size_t alias_count() const { return aliases_.size(); }

 private:
  struct Line {
    uint32_t offset = 0;
    uint16_t size = 0;
  };
  // Lines without their first word.
  std::string_view text(Line line) const { return std::string_view(text_).substr(line.offset, line.size); }
  std::string_view file_line(std::string_view name) const;
  void match_range(size_t from, size_t to, std::string_view modalias, std::vector<std::string_view>& out) const;

  std::string text_;
  std::vector<Line> files_, aliases_;
};

}  // namespace steppe::boot
