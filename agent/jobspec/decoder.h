#pragma once

#include <google/protobuf/message.h>

#include "agent/jobspec/block_table.h"
#include "agent/jobspec/block_walk.h"

namespace steppe::schema {
class Value;
}

namespace steppe::jobspec {

// Blocks that belong to tasks but may stand further out, as defaults. Collected while decoding, for normalize.h.
struct TaskDefaults {
  struct Group {
    std::unique_ptr<google::protobuf::Message> vault;
    std::vector<std::unique_ptr<google::protobuf::Message>> secrets;
  };
  std::map<const google::protobuf::Message*, Group> groups;
  std::vector<std::unique_ptr<google::protobuf::Message>> lone_tasks;  // tasks of the job itself
};

// Fills a message from a body as its table says. All faults go to the context's diagnostics.
class Decoder {
 public:
  Decoder(const Context& context, TaskDefaults& defaults) : context_(context), defaults_(defaults) {}

  void decode(const BlockVisit& block, const BlockTable& table, google::protobuf::Message* into);

 private:
  using Message = google::protobuf::Message;
  using FieldDescriptor = google::protobuf::FieldDescriptor;

  void decode_attribute(const hcl::Attribute& attribute, const BlockTable& table, const hcl::Scope& scope,
                        Message* into);
  void decode_scalar(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Value& value, Message* into);
  void decode_operator(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Value& value, Message* into);
  void decode_list(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Value& value, Message* into);
  bool decode_block(const BlockVisit& block, const BlockTable& table, Message* into,
                    std::map<std::string_view, hcl::Range>& seen);
  void decode_map_block(const BlockVisit& block, const FieldRow& row, Message* into);
  void decode_map_attribute(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Scope& scope,
                            Message* into);
  void add_map_entry(const FieldRow& row, hcl::Range place, const std::string& key, const hcl::Value& value,
                     Message* into);
  std::optional<hcl::Value> opaque_body(const hcl::Body& body, const hcl::Scope& scope);
  std::optional<hcl::Value> opaque_attribute(const hcl::Attribute& attribute, const hcl::Scope& scope);
  Message* target_of(const BlockVisit& block, const FieldRow& row, Message* into);
  bool set_label(const BlockVisit& block, const BlockTable& table, Message* into);
  void check_required(const BlockVisit& block, const BlockTable& table);
  void finish(const BlockVisit& block, Message* into);
  void finish_scaling(const BlockVisit& block, Message* into);
  bool spend(hcl::Range range, size_t bytes) { return context_.spend(range, 1, bytes); }

  const Context& context_;
  TaskDefaults& defaults_;
};

// Puts a value into a message of "any JSON value".
void to_schema_value(const hcl::Value& value, schema::Value* into);

}  // namespace steppe::jobspec
