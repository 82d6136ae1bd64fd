#pragma once

#include <string>
#include <string_view>

namespace steppe::schema {
class AllocMetric;
}

namespace steppe::state {

// The node scores of an alloc's metrics are its largest part: five nodes by 36 characters of UUID, with the same few
// score names again and again. Packed, they take half. Both are exact inverses; a metric whose node ids are not UUIDs
// stays as it is.
//
// Form: count u8, then for each: node UUID 16 bytes, norm score f64, count of scores u8, for each: name code u8 (0:
// length u8 and the name follow), value f64. Little-endian.

// Moves the scores out of `metric`; returns their packed form, or empty where they cannot be packed.
std::string pack_scores(schema::AllocMetric& metric);
// Requires what pack_scores() returned. False when the bytes are damaged.
bool unpack_scores(std::string_view packed, schema::AllocMetric& metric);

}  // namespace steppe::state
