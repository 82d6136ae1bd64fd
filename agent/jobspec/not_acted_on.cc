#include <algorithm>
#include <format>
#include <map>

#include "agent/jobspec/parse.h"
#include "agent/schema/job.pb.h"
#include "init/base/text.h"

namespace steppe::jobspec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// What is kept and shown, but not done yet. A row leaves this list in the change that makes its key work.
struct Waiting {
  std::string_view message, field;
  std::string_view key;  // as the job file says it
};
constexpr Waiting kWaiting[] = {
    {"Job", "multiregion", "multiregion"},
    {"Job", "parameterized_job", "parameterized"},
    {"TaskGroup", "scaling", "scaling"},
    {"TaskGroup", "consul", "consul"},
    {"TaskGroup", "services", "service"},
    {"Task", "services", "service"},
    {"Task", "vault", "vault"},
    {"Task", "consul", "consul"},
    {"Task", "dispatch_payload", "dispatch_payload"},
    {"Task", "csi_plugin_config", "csi_plugin"},
    {"Task", "identity", "identity"},
    {"Task", "identities", "identity"},
    {"Task", "actions", "action"},
    {"Task", "schedule", "schedule"},
    {"Task", "secrets", "secret"},
    {"Task", "scaling_policies", "scaling"},
    {"TaskArtifact", "chown", "chown"},
    {"Template", "uid", "uid"},
    {"Template", "gid", "gid"},
    {"Resources", "numa", "numa"},
    {"Resources", "secrets_mb", "secrets"},
    {"NetworkResource", "dns", "dns"},
    {"NetworkResource", "cni", "cni"},
    {"EphemeralDisk", "migrate", "migrate"},
};

// Texts of which only these values are acted on.
struct Limited {
  std::string_view message, field;
  std::string_view key;
  std::string_view known;  // separated by spaces
};
constexpr Limited kLimited[] = {
    {"Job", "type", "type", "service batch system sysbatch"},
    {"Task", "driver", "driver", "exec raw_exec mock mock_driver"},
    {"NetworkResource", "mode", "mode", "host"},
    {"VolumeRequest", "type", "type", "host"},
};

bool is_set(const Message& message, const FieldDescriptor& field) {
  const auto* reflection = message.GetReflection();
  if (field.is_repeated()) return reflection->FieldSize(message, &field) > 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return reflection->GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_INT64: return reflection->GetInt64(message, &field) > 0;  // -1: as it comes
    case FieldDescriptor::CPPTYPE_STRING: return !reflection->GetString(message, &field).empty();
    default: return reflection->HasField(message, &field);
  }
}

// False for values that change nothing: a job that was read back from a server holds every default.
bool asks_for_something(const Message& message, const FieldDescriptor& field) {
  if (!is_set(message, field)) return false;
  if (field.is_repeated() || field.message_type() == nullptr || field.message_type()->name() != "WorkloadIdentity") return true;
  // Every task has the default identity; its name and audience are what a server fills in.
  const auto& identity = static_cast<const schema::WorkloadIdentity&>(message.GetReflection()->GetMessage(message, &field));
  std::vector<const FieldDescriptor*> fields;
  identity.GetReflection()->ListFields(identity, &fields);
  return std::ranges::any_of(fields, [&](const FieldDescriptor* inner) {
    if (inner->name() == "name") return identity.name() != "default";
    if (inner->name() == "audience") return identity.audience_size() != 1 || identity.audience(0) != "nomadproject.io";
    return is_set(identity, *inner);
  });
}

// The first action of a template that is more than text and env "NAME" (client/template_render.h); empty when none is.
std::string_view foreign_action(const schema::Template& entry) {
  const std::string_view text = entry.embedded_tmpl();
  const std::string_view left = entry.left_delim().empty() ? "{{" : std::string_view(entry.left_delim());
  const std::string_view right = entry.right_delim().empty() ? "}}" : std::string_view(entry.right_delim());
  for (size_t open = text.find(left); open != text.npos; open = text.find(left, open)) {
    const size_t begin = open + left.size(), close = text.find(right, begin);
    if (close == text.npos) break;
    std::string_view action = text.substr(begin, close - begin);
    if (action.starts_with("- ")) action.remove_prefix(2);
    if (action.ends_with(" -")) action.remove_suffix(2);
    action = trim(action);
    const bool known = action.starts_with("/*") || action.starts_with('"') || action.starts_with('`') || action.starts_with("env ") || action.starts_with("env\t");
    if (!known) return text.substr(open, close + right.size() - open);
    open = close + right.size();
  }
  return {};
}

class Finder {
 public:
  std::vector<std::string> found;

  void visit(const Message& message, const std::string& path) {
    const auto* reflection = message.GetReflection();
    std::string_view type = message.GetDescriptor()->name();
    std::vector<const FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    if (type == "Template") check_template(static_cast<const schema::Template&>(message), path);
    for (const FieldDescriptor* field : fields) {
      if (is_waiting(type, *field, message, path)) continue;
      check_limited(type, *field, message, path);
      if (field->is_map()) visit_map(message, *field, path);
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
      int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
      for (int i = 0; i < count; ++i) {
        const Message& inner = field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                    : reflection->GetMessage(message, field);
        visit(inner, inner_path(inner, *field, path));
      }
    }
  }

 private:
  // A map's entries are messages of a key and a value, in nobody's order: by key here.
  void visit_map(const Message& message, const FieldDescriptor& field, const std::string& path) {
    const FieldDescriptor* key = field.message_type()->map_key();
    const FieldDescriptor* value = field.message_type()->map_value();
    if (value->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || key->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return;
    std::map<std::string, const Message*> entries;
    const auto* reflection = message.GetReflection();
    for (int i = 0; i < reflection->FieldSize(message, &field); ++i) {
      const Message& entry = reflection->GetRepeatedMessage(message, &field, i);
      entries.emplace(entry.GetReflection()->GetString(entry, key), &entry.GetReflection()->GetMessage(entry, value));
    }
    const bool volumes = value->message_type()->name() == "VolumeRequest";
    for (const auto& [name, inner] : entries) visit(*inner, join(path, std::format("{} {}", volumes ? "volume" : field.name(), name)));
  }

  static std::string join(const std::string& path, std::string_view what) {
    return path.empty() ? std::string(what) : std::format("{} > {}", path, what);
  }

  static std::string inner_path(const Message& inner, const FieldDescriptor& field, const std::string& path) {
    std::string_view type = inner.GetDescriptor()->name();
    if (type == "TaskGroup")
      return join(path, std::format("group {}", static_cast<const schema::TaskGroup&>(inner).name()));
    if (type == "Task") return join(path, std::format("task {}", static_cast<const schema::Task&>(inner).name()));
    if (type == "NetworkResource") return join(path, "network");
    if (type == "Template") return join(path, "template");
    if (type == "TaskArtifact") return join(path, "artifact");
    return join(path, field.name());
  }

  void add(std::string text) {
    if (found.empty() || found.back() != text) found.push_back(std::move(text));
  }

  bool is_waiting(std::string_view type, const FieldDescriptor& field, const Message& message,
                  const std::string& path) {
    for (const Waiting& row : kWaiting) {
      if (row.message != type || row.field != field.name()) continue;
      if (asks_for_something(message, field)) add(join(path, row.key));
      return true;
    }
    return false;
  }

  void check_template(const schema::Template& entry, const std::string& path) {
    if (const std::string_view action = foreign_action(entry); !action.empty()) add(join(path, action));
  }

  void check_limited(std::string_view type, const FieldDescriptor& field, const Message& message,
                     const std::string& path) {
    for (const Limited& row : kLimited) {
      if (row.message != type || row.field != field.name()) continue;
      std::string value = message.GetReflection()->GetString(message, &field);
      bool known = (" " + std::string(row.known) + " ").contains(" " + value + " ") || value.empty();
      if (!known) add(join(path, std::format("{} = \"{}\"", row.key, value)));
    }
  }
};

}  // namespace

std::vector<std::string> not_yet_acted_on(const schema::Job& job) {
  Finder finder;
  finder.visit(job, "");
  return std::move(finder.found);
}

}  // namespace steppe::jobspec
