#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace steppe::hcl {

// A half-open run of bytes of one source text. Syntax nodes keep only this; who evaluates them knows the Source.
struct Range {
  uint32_t start = 0;
  uint32_t end = 0;
  friend bool operator==(Range, Range) = default;
};

inline Range cover(Range a, Range b) { return {a.start < b.start ? a.start : b.start, a.end > b.end ? a.end : b.end}; }

// A named text. Texts longer than kMaxSourceBytes are refused by the parser.
struct Source {
  std::string name;
  std::string text;
  std::string_view slice(Range range) const {
    return std::string_view(text).substr(range.start, range.end - range.start);
  }
};

inline constexpr uint32_t kMaxSourceBytes = 16u << 20;

// Lines and columns count from 1; columns count UTF-8 code points.
struct Position {
  uint32_t line = 1;
  uint32_t column = 1;
};

// Walks the text from its start: meant for diagnostics, not for every node.
Position position_at(const Source& source, uint32_t offset);

}  // namespace steppe::hcl
