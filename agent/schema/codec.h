#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/result.h"
#include "init/json/writer.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}

// Messages of the catalogue to and from the JSON of Nomad's HTTP API, by reflection over the .proto files and their
// options (options.proto). Thread-safe; the shape of each message type is worked out once.
namespace steppe::schema {

// How deep a Value (driver config, scaling policy) may nest. Each level costs up to three nested messages, and protobuf
// reads 100 at most: what is deeper could be written to the log, but never read back.
inline constexpr uint32_t kMaxValueDepth = 24;

struct WriteOptions {
  json::Style style = json::Style::kCompact;
  // Secret fields print their zero ("" or null). Turned off only where the reader is the one the secret is meant for.
  bool redact = true;
};

// Keys in the order of the .proto file, map keys sorted by bytes.
std::string write_json(const google::protobuf::Message& message, const WriteOptions& options = {});
void write_json(const google::protobuf::Message& message, json::Writer* writer, const WriteOptions& options = {});

// The value of one of the message's own fields alone, as it stands behind its key. The field is shown (not hidden, not
// flattened).
std::string write_field_json(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                             const WriteOptions& options = {});

enum class UnknownKeys : uint8_t { kIgnore, kReject };

struct ReadOptions {
  size_t max_bytes = size_t{16} << 20;
  uint32_t max_depth = 96;
  // Objects, arrays and values that the text may make, all together: "{}," costs three bytes there and hundreds here.
  size_t max_objects = 500000;
  UnknownKeys unknown_keys = UnknownKeys::kIgnore;
};

// Replaces `into` by what the text says. Keys match in any case; null is the same as leaving the key out; of a key that
// comes twice the last counts. Integers must be integers and fit, exactly; strings must be strings. kInvalid and
// kExhausted name line, column and path: "line 3, column 14: Job.TaskGroups[0].Count: expected an integer, found a
// string". After an error `into` holds what was read so far.
Result<> read_json(std::string_view text, google::protobuf::Message* into, const ReadOptions& options = {});

}  // namespace steppe::schema
