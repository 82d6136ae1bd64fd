#include "agent/model/diff.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <format>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/equality.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/value.pb.h"
#include "init/base/bytes.h"
#include "init/json/writer.h"

namespace steppe::model {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr const char* kAdded = "Added";
constexpr const char* kDeleted = "Deleted";
constexpr const char* kEdited = "Edited";
constexpr const char* kNone = "None";

// The scalar members of an object by their names; those of maps as "Meta[key]". Sorted.
using Flat = std::map<std::string, std::string>;

struct ObjectName {
  std::string_view field;
  std::string_view shown;
};
// Lists are shown under the singular; all else under its JSON name.
constexpr ObjectName kNames[] = {
    {"Constraints", "Constraint"},     {"Affinities", "Affinity"},   {"Spreads", "Spread"},
    {"Networks", "Network"},           {"Services", "Service"},      {"Checks", "Check"},
    {"ReservedPorts", "Static Port"},  {"DynamicPorts", "Dynamic Port"}, {"Templates", "Template"},
    {"Artifacts", "Artifact"},         {"VolumeMounts", "VolumeMount"},  {"Volumes", "Volume"},
    {"Devices", "Device"},             {"Regions", "Region"},        {"Actions", "Action"},
    {"Secrets", "Secret"},             {"Identities", "Identity"},   {"Links", "Link"},
    {"Connect", "ConsulConnect"},      {"Upstreams", "ConsulUpstreams"}, {"ScalingPolicies", "ScalingPolicy"},
    {"CSIPluginConfig", "TaskCSIPluginConfig"}, {"Paths", "Path"},
};

std::string shown_name(const FieldDescriptor* field) {
  for (const ObjectName& name : kNames) {
    if (name.field == field->json_name()) return std::string(name.shown);
  }
  return field->json_name();
}

// What tells one element of a list from another; null for lists that are sets of unnamed things.
const FieldDescriptor* key_of(const google::protobuf::Descriptor* type) {
  for (const char* name : {"name", "label", "dest_path", "volume", "destination_name"}) {
    const FieldDescriptor* field = type->FindFieldByName(name);
    if (field != nullptr && field->type() == FieldDescriptor::TYPE_STRING) return field;
  }
  return nullptr;
}

std::string scalar_text(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  switch (field->type()) {
    case FieldDescriptor::TYPE_BOOL: return reflection->GetBool(message, field) ? "true" : "false";
    case FieldDescriptor::TYPE_INT32: return std::to_string(reflection->GetInt32(message, field));
    case FieldDescriptor::TYPE_UINT32: return std::to_string(reflection->GetUInt32(message, field));
    case FieldDescriptor::TYPE_INT64: return std::to_string(reflection->GetInt64(message, field));
    case FieldDescriptor::TYPE_UINT64: return std::to_string(reflection->GetUInt64(message, field));
    case FieldDescriptor::TYPE_DOUBLE: {
      std::string text;
      json::append_number(&text, reflection->GetDouble(message, field));
      return text;
    }
    case FieldDescriptor::TYPE_BYTES: return base64(as_bytes(reflection->GetString(message, field)));
    case FieldDescriptor::TYPE_STRING: return reflection->GetString(message, field);
    default: return {};
  }
}

// {"args":["a"],"k":{"x":1}} -> "args[0]" = "a", "k[x]" = "1".
void flatten_value(const std::string& name, const schema::Value& value, Flat* out) {
  switch (value.kind_case()) {
    case schema::Value::kText: (*out)[name] = value.text(); return;
    case schema::Value::kBoolean: (*out)[name] = value.boolean() ? "true" : "false"; return;
    case schema::Value::kInteger: (*out)[name] = std::to_string(value.integer()); return;
    case schema::Value::kNumber: json::append_number(&(*out)[name], value.number()); return;
    case schema::Value::kList:
      for (int i = 0; i < value.list().items_size(); ++i) {
        flatten_value(std::format("{}[{}]", name, i), value.list().items(i), out);
      }
      return;
    case schema::Value::kObject:
      for (const auto& [key, member] : value.object().fields()) flatten_value(std::format("{}[{}]", name, key), member, out);
      return;
    default: return;
  }
}

class Differ {
 public:
  explicit Differ(DiffContext context) : contextual_(context == DiffContext::kContextual) {}

  // Either side may be null. `skip` holds JSON names that are shown elsewhere, or not at all. True when they differ.
  template <class Out>
  bool members(const Message* old_side, const Message* new_side, const std::set<std::string_view>& skip, Out* out) {
    const Message& any = old_side != nullptr ? *old_side : *new_side;
    bool changed = false;
    Flat old_flat;
    Flat new_flat;
    std::vector<const FieldDescriptor*> objects;
    for (int i = 0; i < any.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = any.GetDescriptor()->field(i);
      if (skip.contains(field->json_name())) continue;
      const bool of_scalars = is_flat(field);
      if (of_scalars) {
        flatten(old_side, field, &old_flat);
        flatten(new_side, field, &new_flat);
      } else {
        objects.push_back(field);
      }
    }
    changed |= fields(old_flat, new_flat, out->mutable_fields());
    for (const FieldDescriptor* field : objects) changed |= object_field(old_side, new_side, field, out->mutable_objects());
    std::ranges::stable_sort(*out->mutable_objects(), {}, [](const auto& object) -> const std::string& { return object.name(); });
    return changed;
  }

  static const char* type_of(const void* old_side, const void* new_side, bool changed) {
    if (old_side == nullptr) return kAdded;
    if (new_side == nullptr) return kDeleted;
    return changed ? kEdited : kNone;
  }

 private:
  using Fields = google::protobuf::RepeatedPtrField<schema::FieldDiff>;
  using Objects = google::protobuf::RepeatedPtrField<schema::ObjectDiff>;

  static bool is_message(const FieldDescriptor* field) { return field->type() == FieldDescriptor::TYPE_MESSAGE; }
  static bool is_value_map(const FieldDescriptor* field) {
    return field->is_map() && is_message(field->message_type()->map_value()) &&
           field->message_type()->map_value()->message_type() == schema::Value::descriptor();
  }
  static bool is_flat(const FieldDescriptor* field) {
    if (field->is_map()) return !is_message(field->message_type()->map_value());
    return !field->is_repeated() && !is_message(field);
  }

  static void flatten(const Message* side, const FieldDescriptor* field, Flat* out) {
    if (side == nullptr) return;
    const Reflection* reflection = side->GetReflection();
    if (field->is_map()) {
      for (int i = 0; i < reflection->FieldSize(*side, field); ++i) {
        const Message& entry = reflection->GetRepeatedMessage(*side, field, i);
        (*out)[std::format("{}[{}]", field->json_name(), scalar_text(entry, field->message_type()->map_key()))] =
            scalar_text(entry, field->message_type()->map_value());
      }
      return;
    }
    // An unset pointer is no text, as an absent object has none.
    if (field->has_presence() && !reflection->HasField(*side, field)) return;
    (*out)[field->json_name()] = scalar_text(*side, field);
  }

  bool fields(const Flat& old_flat, const Flat& new_flat, Fields* out) {
    std::set<std::string_view> names;
    bool changed = false;
    for (const auto* side : {&old_flat, &new_flat}) {
      for (const auto& [name, text] : *side) names.insert(name);
    }
    const auto text_of = [](const Flat& flat, std::string_view name) {
      const auto found = flat.find(std::string(name));
      return found == flat.end() ? std::string() : found->second;
    };
    for (const std::string_view name : names) {
      const std::string old_text = text_of(old_flat, name);
      const std::string new_text = text_of(new_flat, name);
      if (old_text == new_text && !contextual_) continue;
      changed |= old_text != new_text;
      auto* field = out->Add();
      field->set_name(std::string(name));
      field->set_old_value(old_text);
      field->set_new_value(new_text);
      field->set_type(old_text == new_text ? kNone : old_text.empty() ? kAdded : new_text.empty() ? kDeleted : kEdited);
    }
    return changed;
  }

  bool object_field(const Message* old_side, const Message* new_side, const FieldDescriptor* field, Objects* out) {
    if (is_value_map(field)) return value_map(old_side, new_side, field, out);
    if (field->is_repeated() && !is_message(field)) return text_set(old_side, new_side, field, out);
    if (field->is_repeated()) return list(old_side, new_side, field, out);
    return object(child(old_side, field), child(new_side, field), shown_name(field), out);
  }

  static const Message* child(const Message* side, const FieldDescriptor* field) {
    if (side == nullptr || !side->GetReflection()->HasField(*side, field)) return nullptr;
    return &side->GetReflection()->GetMessage(*side, field);
  }

  bool object(const Message* old_object, const Message* new_object, const std::string& name, Objects* out) {
    if (old_object == nullptr && new_object == nullptr) return false;
    schema::ObjectDiff diff;
    const bool changed = members(old_object, new_object, {}, &diff);
    const bool both = old_object != nullptr && new_object != nullptr;
    if (both && !changed) return false;
    diff.set_name(name);
    diff.set_type(type_of(old_object, new_object, changed));
    out->Add(std::move(diff));
    return true;
  }

  // A driver's config: one object, its parts flattened.
  bool value_map(const Message* old_side, const Message* new_side, const FieldDescriptor* field, Objects* out) {
    const auto flat_of = [field](const Message* side) {
      Flat flat;
      if (side == nullptr) return flat;
      const Reflection* reflection = side->GetReflection();
      for (int i = 0; i < reflection->FieldSize(*side, field); ++i) {
        const Message& entry = reflection->GetRepeatedMessage(*side, field, i);
        flatten_value(scalar_text(entry, field->message_type()->map_key()),
                      static_cast<const schema::Value&>(
                          entry.GetReflection()->GetMessage(entry, field->message_type()->map_value())),
                      &flat);
      }
      return flat;
    };
    const Flat old_flat = flat_of(old_side);
    const Flat new_flat = flat_of(new_side);
    schema::ObjectDiff diff;
    if (!fields(old_flat, new_flat, diff.mutable_fields())) return false;
    diff.set_name(shown_name(field));
    diff.set_type(old_flat.empty() ? kAdded : new_flat.empty() ? kDeleted : kEdited);
    out->Add(std::move(diff));
    return true;
  }

  // A list of texts or numbers is a set: datacenters, tags, policies.
  bool text_set(const Message* old_side, const Message* new_side, const FieldDescriptor* field, Objects* out) {
    const auto items_of = [field](const Message* side) {
      std::set<std::string> items;
      if (side == nullptr) return items;
      const Reflection* reflection = side->GetReflection();
      for (int i = 0; i < reflection->FieldSize(*side, field); ++i) {
        if (field->type() == FieldDescriptor::TYPE_STRING) {
          items.insert(reflection->GetRepeatedString(*side, field, i));
        } else if (field->type() == FieldDescriptor::TYPE_INT64) {
          items.insert(std::to_string(reflection->GetRepeatedInt64(*side, field, i)));
        } else if (field->type() == FieldDescriptor::TYPE_UINT64) {
          items.insert(std::to_string(reflection->GetRepeatedUInt64(*side, field, i)));
        }
      }
      return items;
    };
    const auto old_items = items_of(old_side);
    const auto new_items = items_of(new_side);
    if (old_items == new_items) return false;
    schema::ObjectDiff diff;
    diff.set_name(field->json_name());
    diff.set_type(old_items.empty() ? kAdded : new_items.empty() ? kDeleted : kEdited);
    const auto add = [&](const char* type, const std::string& old_text, const std::string& new_text) {
      auto* item = diff.add_fields();
      item->set_type(type);
      item->set_name(field->json_name());
      item->set_old_value(old_text);
      item->set_new_value(new_text);
    };
    for (const auto& item : new_items) {
      if (!old_items.contains(item)) add(kAdded, "", item);
    }
    for (const auto& item : old_items) {
      if (!new_items.contains(item)) add(kDeleted, item, "");
    }
    if (contextual_) {
      for (const auto& item : old_items) {
        if (new_items.contains(item)) add(kNone, item, item);
      }
    }
    out->Add(std::move(diff));
    return true;
  }

  static std::vector<const Message*> elements(const Message* side, const FieldDescriptor* field) {
    std::vector<const Message*> out;
    if (side == nullptr) return out;
    const Reflection* reflection = side->GetReflection();
    for (int i = 0; i < reflection->FieldSize(*side, field); ++i) {
      const Message* element = &reflection->GetRepeatedMessage(*side, field, i);
      if (field->is_map()) element = &element->GetReflection()->GetMessage(*element, field->message_type()->map_value());
      out.push_back(element);
    }
    return out;
  }

  bool list(const Message* old_side, const Message* new_side, const FieldDescriptor* field, Objects* out) {
    const auto old_list = elements(old_side, field);
    const auto new_list = elements(new_side, field);
    const auto* type = field->is_map() ? field->message_type()->map_value()->message_type() : field->message_type();
    const FieldDescriptor* key = key_of(type);
    const std::string name = shown_name(field);
    if (key == nullptr) return unnamed(old_list, new_list, name, out);
    std::map<std::string, std::pair<const Message*, const Message*>> pairs;
    bool twice = false;
    for (const Message* element : old_list) twice |= std::exchange(pairs[scalar_text(*element, key)].first, element) != nullptr;
    for (const Message* element : new_list) twice |= std::exchange(pairs[scalar_text(*element, key)].second, element) != nullptr;
    // Names that do not tell the elements apart cannot match them.
    if (twice) return unnamed(old_list, new_list, name, out);
    bool changed = false;
    for (const auto& [text, pair] : pairs) changed |= object(pair.first, pair.second, name, out);
    return changed;
  }

  bool unnamed(const std::vector<const Message*>& old_list, const std::vector<const Message*>& new_list,
               const std::string& name, Objects* out) {
    const auto holds = [](const std::vector<const Message*>& list, const Message& wanted) {
      return std::ranges::any_of(list, [&](const Message* item) { return same(*item, wanted); });
    };
    // One of each that differ is that one, changed: a group has one network.
    if (old_list.size() == 1 && new_list.size() == 1 && (name == "Network")) {
      return object(old_list.front(), new_list.front(), name, out);
    }
    bool changed = false;
    for (const Message* item : new_list) {
      if (!holds(old_list, *item)) changed |= object(nullptr, item, name, out);
    }
    for (const Message* item : old_list) {
      if (!holds(new_list, *item)) changed |= object(item, nullptr, name, out);
    }
    return changed;
  }

  bool contextual_;
};

// Pairs of equal name, in the order of names.
template <class T>
std::map<std::string, std::pair<const T*, const T*>> by_name(const google::protobuf::RepeatedPtrField<T>* old_list,
                                                              const google::protobuf::RepeatedPtrField<T>* new_list) {
  std::map<std::string, std::pair<const T*, const T*>> pairs;
  if (old_list != nullptr) {
    for (const T& item : *old_list) pairs[item.name()].first = &item;
  }
  if (new_list != nullptr) {
    for (const T& item : *new_list) pairs[item.name()].second = &item;
  }
  return pairs;
}

bool diff_task(Differ& differ, const schema::Task* old_task, const schema::Task* new_task, schema::TaskDiff* out) {
  out->set_name(old_task != nullptr ? old_task->name() : new_task->name());
  const bool changed = differ.members(old_task, new_task, {"Name"}, out);
  out->set_type(Differ::type_of(old_task, new_task, changed));
  return changed || old_task == nullptr || new_task == nullptr;
}

bool diff_group(Differ& differ, const schema::TaskGroup* old_group, const schema::TaskGroup* new_group,
                schema::TaskGroupDiff* out) {
  out->set_name(old_group != nullptr ? old_group->name() : new_group->name());
  bool changed = differ.members(old_group, new_group, {"Name", "Tasks"}, out);
  for (const auto& [name, pair] : by_name(old_group != nullptr ? &old_group->tasks() : nullptr,
                                          new_group != nullptr ? &new_group->tasks() : nullptr)) {
    changed |= diff_task(differ, pair.first, pair.second, out->add_tasks());
  }
  out->set_type(Differ::type_of(old_group, new_group, changed));
  return changed || old_group == nullptr || new_group == nullptr;
}

}  // namespace

Result<> diff_jobs(const schema::Job* old_job, const schema::Job* new_job, DiffContext context, schema::JobDiff* out) {
  out->Clear();
  out->set_type(kNone);
  if (old_job == nullptr && new_job == nullptr) return {};
  if (old_job != nullptr && new_job != nullptr && old_job->id() != new_job->id()) {
    return Error(Code::kInvalid, std::format("can not diff jobs with different IDs: \"{}\" and \"{}\"", old_job->id(), new_job->id()));
  }
  static const std::set<std::string_view> kLeftOut = {
      "ID",      "Status",     "StatusDescription", "Version",     "VersionTag",     "Stable",       "CreateIndex",
      "Update",  "SubmitTime", "ModifyIndex",       "TaskGroups",  "JobModifyIndex", "NomadTokenID", "VaultToken",
      "Migrate", "Reschedule", "Vault",             "ConsulToken", "Secrets",        "Payload"};
  Differ differ(context);
  out->set_id(old_job != nullptr ? old_job->id() : new_job->id());
  bool changed = differ.members(old_job, new_job, kLeftOut, out);
  for (const auto& [name, pair] : by_name(old_job != nullptr ? &old_job->task_groups() : nullptr,
                                          new_job != nullptr ? &new_job->task_groups() : nullptr)) {
    changed |= diff_group(differ, pair.first, pair.second, out->add_task_groups());
  }
  out->set_type(Differ::type_of(old_job, new_job, changed));
  return {};
}

namespace {

// Whether a changed task can keep its alloc: the same parts as in update_kind.cc, by their names in a diff.
bool in_place(const schema::TaskDiff& task) {
  static const std::set<std::string_view> kFields = {"KillTimeout", "KillSignal", "ShutdownDelay", "Leader", "Kind"};
  static const std::set<std::string_view> kObjects = {"Service", "Constraint", "Affinity", "RestartPolicy", "Lifecycle",
                                                      "Action",  "ScalingPolicy", "DispatchPayload", "Schedule"};
  for (const auto& field : task.fields()) {
    if (field.type() != kNone && !kFields.contains(field.name())) return false;
  }
  for (const auto& object : task.objects()) {
    if (object.type() == kNone || kObjects.contains(object.name())) continue;
    if (object.name() != "LogConfig") return false;
    for (const auto& field : object.fields()) {
      if (field.type() != kNone && field.name() == "Disabled") return false;
    }
  }
  return true;
}

void annotate_group(const schema::DesiredUpdates* updates, schema::TaskGroupDiff* group) {
  if (updates != nullptr) {
    const auto add = [group](const char* name, uint64_t count) {
      if (count > 0) (*group->mutable_updates())[name] = count;
    };
    add("ignore", updates->ignore());
    add("create", updates->place());
    add("migrate", updates->migrate());
    add("destroy", updates->stop());
    add("in-place update", updates->in_place_update());
    add("create/destroy update", updates->destructive_update());
    add("canary", updates->canary());
    add("preemptions", updates->preemptions());
  }
  for (auto& field : *group->mutable_fields()) {
    if (field.name() != "Count" || field.type() == kNone || group->type() != kEdited) continue;
    const auto count = [](const std::string& text) { return text.empty() ? 0 : std::stoll(text); };
    field.add_annotations(count(field.new_value()) > count(field.old_value()) ? "forces create" : "forces destroy");
  }
  for (auto& task : *group->mutable_tasks()) {
    if (task.type() == kNone) continue;
    if (group->type() == kAdded) {
      task.add_annotations("forces create");
    } else if (group->type() == kDeleted) {
      task.add_annotations("forces destroy");
    } else {
      task.add_annotations(task.type() == kEdited && in_place(task) ? "forces in-place update" : "forces create/destroy update");
    }
  }
}

}  // namespace

void annotate_diff(const schema::PlanAnnotations* annotations, schema::JobDiff* diff) {
  for (auto& group : *diff->mutable_task_groups()) {
    const schema::DesiredUpdates* updates = nullptr;
    if (annotations != nullptr) {
      const auto found = annotations->desired_tg_updates().find(group.name());
      if (found != annotations->desired_tg_updates().end()) updates = &found->second;
    }
    annotate_group(updates, &group);
  }
}

}  // namespace steppe::model
