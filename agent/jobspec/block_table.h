#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace steppe::jobspec {

// The job language as data: for every block its keys, and for every key the proto field that it fills.
enum class FieldKind : uint8_t {
  kString,
  kBool,
  kInteger,   // range in the row
  kDuration,  // "1h30m", or a number of nanoseconds
  kStringList,
  kIntegerList,       // range in the row
  kStringMap,         // block of attributes, or an attribute that is an object
  kListMap,           // likewise, the values being lists of strings
  kValueMap,          // likewise, values of any kind: nested blocks become lists of objects, as drivers expect
  kBlock,             // at most one block
  kBlockList,         // any number of blocks
  kBlockMap,          // any number of blocks, keyed by their label
  kOperator,          // of constraints: the key is the operator, the value the right side
  kOperatorBool,      // distinct_hosts = true
  kOperatorProperty,  // distinct_property = "${…}": the value is the left side
};

struct BlockTable;

struct FieldRow {
  std::string_view key;
  FieldKind kind;
  std::string_view proto;             // name of the proto field; empty where a rule of its own decides
  const BlockTable* block = nullptr;  // of kBlock, kBlockList, kBlockMap
  int64_t least = std::numeric_limits<int64_t>::min();
  int64_t most = std::numeric_limits<int64_t>::max();
  bool required = false;
};

struct BlockTable {
  std::string_view label;  // proto field that takes the one label; "*": a rule of the block does; empty: no label
  std::span<const FieldRow> rows;
};

// The table of what stands inside job { }.
const BlockTable& job_table();

}  // namespace steppe::jobspec
