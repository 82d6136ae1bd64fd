#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <format>

#include "agent/http/api.h"
#include "agent/schema/codec.h"
#include "init/base/assert.h"
#include "init/base/text.h"
#include "init/json/reader.h"

namespace steppe::http {

namespace pb = google::protobuf;
using endpoint::Failure;
using endpoint::Outcome;

namespace {

// ?flag and ?flag=true say yes; what is neither true nor false is an error, as in Nomad.
Outcome<bool> parse_flag(std::string_view name, const std::string& text) {
  if (text.empty() || text == "1" || text == "t" || text == "T" || text == "true" || text == "TRUE" || text == "True") return true;
  if (text == "0" || text == "f" || text == "F" || text == "false" || text == "FALSE" || text == "False") return false;
  return endpoint::bad_request(std::format("Failed to parse value of \"{}\" (\"{}\") as a bool", name, text));
}

Outcome<int64_t> parse_whole(std::string_view name, const std::string& text) {
  Result<int64_t> value = parse_int(text);
  if (!value.ok()) return endpoint::bad_request(std::format("Failed to parse value of \"{}\" (\"{}\") as an integer", name, text));
  return *value;
}

Result<std::vector<std::string>> parse_string_array(std::string_view text) {
  json::Reader reader(text);
  if (reader.next() != json::Kind::kArray) return reader.error_here("expected an array of strings");
  std::vector<std::string> items;
  json::Kind kind = reader.next();
  for (; kind == json::Kind::kString; kind = reader.next()) items.emplace_back(reader.text());
  if (reader.failed()) return reader.error();
  if (kind != json::Kind::kArrayEnd) return reader.error_here("expected a string");
  return items;
}

// The field at a dotted path; makes the messages on the way.
struct Place {
  pb::Message* message = nullptr;
  const pb::FieldDescriptor* field = nullptr;
};

Place find_place(pb::Message& root, std::string_view path) {
  pb::Message* message = &root;
  const std::vector<std::string_view> parts = split(path, '.');
  for (size_t i = 0; i < parts.size(); ++i) {
    const pb::FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(std::string(parts[i]));
    if (field == nullptr) return {};
    if (i + 1 == parts.size()) return {message, field};
    message = message->GetReflection()->MutableMessage(message, field);
  }
  return {};
}

Outcome<> set_field(pb::Message& root, std::string_view path, std::string_view name, const std::string& text) {
  const Place place = find_place(root, path);
  STEPPE_ASSERT(place.field != nullptr);
  const pb::Reflection& reflection = *place.message->GetReflection();
  if (place.field->is_repeated()) {
    // A JSON array (exec's command), or one value.
    if (!text.starts_with('[')) {
      reflection.AddString(place.message, place.field, text);
      return {};
    }
    Result<std::vector<std::string>> list = parse_string_array(text);
    if (!list.ok()) return endpoint::bad_request(std::format("Failed to parse value of \"{}\": {}", name, list.error().message()));
    for (std::string& item : *list) reflection.AddString(place.message, place.field, std::move(item));
    return {};
  }
  switch (place.field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_STRING: reflection.SetString(place.message, place.field, text); return {};
    case pb::FieldDescriptor::CPPTYPE_BOOL: {
      STEPPE_TRY(const bool value, parse_flag(name, text));
      reflection.SetBool(place.message, place.field, value);
      return {};
    }
    case pb::FieldDescriptor::CPPTYPE_INT64: {
      STEPPE_TRY(const int64_t value, parse_whole(name, text));
      reflection.SetInt64(place.message, place.field, value);
      return {};
    }
    case pb::FieldDescriptor::CPPTYPE_UINT64: {
      STEPPE_TRY(const int64_t value, parse_whole(name, text));
      if (value < 0) return endpoint::bad_request(std::format("Failed to parse value of \"{}\": negative", name));
      reflection.SetUInt64(place.message, place.field, static_cast<uint64_t>(value));
      return {};
    }
    default: assertion_failed("a route fills a field of a type that a query cannot hold");
  }
}

// index and wait: the blocking query.
Outcome<> set_blocking(pb::Message& root, const Query& query) {
  if (const std::string* index = query.find("index"); index && !index->empty()) {
    Result<uint64_t> value = parse_uint(*index);
    if (!value.ok()) return endpoint::bad_request("Invalid index");
    const Place place = find_place(root, "query.min_query_index");
    place.message->GetReflection()->SetUInt64(place.message, place.field, *value);
  }
  if (const std::string* wait = query.find("wait"); wait && !wait->empty()) {
    Result<Duration> value = parse_duration(*wait);
    if (!value.ok()) return endpoint::bad_request("Invalid wait time");
    const Place place = find_place(root, "query.max_query_time_ns");
    place.message->GetReflection()->SetInt64(place.message, place.field, value->count());
  }
  return {};
}

struct Common {
  const char* parameter;
  const char* field;
};
constexpr Common kReadOptions[] = {{"prefix", "query.prefix"},       {"filter", "query.filter"},         {"per_page", "query.per_page"},
                                   {"next_token", "query.next_token"}, {"namespace", "query.namespace"}, {"region", "query.region"}};
constexpr Common kWriteOptions[] = {{"namespace", "write.namespace"}, {"region", "write.region"}, {"idempotency_token", "write.idempotency_token"}};

Outcome<> set_common(pb::Message& root, const Query& query) {
  if (root.GetDescriptor()->FindFieldByName("query") != nullptr) {
    for (const Common& option : kReadOptions) {
      const std::string* value = query.find(option.parameter);
      if (value && !value->empty()) STEPPE_TRY_VOID(set_field(root, option.field, option.parameter, *value));
    }
    // Only the literal "true" reverses; a bare ?stale is a yes.
    if (query.value("reverse") == "true") STEPPE_TRY_VOID(set_field(root, "query.reverse", "reverse", "true"));
    if (const std::string* stale = query.find("stale")) STEPPE_TRY_VOID(set_field(root, "query.allow_stale", "stale", *stale));
    return set_blocking(root, query);
  }
  if (root.GetDescriptor()->FindFieldByName("write") != nullptr) {
    for (const Common& option : kWriteOptions) {
      const std::string* value = query.find(option.parameter);
      if (value && !value->empty()) STEPPE_TRY_VOID(set_field(root, option.field, option.parameter, *value));
    }
  }
  return {};
}

// A body that is to bring a job, without one.
Outcome<> check_job(endpoint::Method method, const pb::Message& root) {
  using enum endpoint::Method;
  if (method != kJobRegister && method != kJobPlan && method != kJobValidate) return {};
  const pb::FieldDescriptor* field = root.GetDescriptor()->FindFieldByName("job");
  STEPPE_ASSERT(field != nullptr && field->message_type() != nullptr);
  if (!root.GetReflection()->HasField(root, field)) return endpoint::bad_request("Job must be specified");
  const pb::Message& job = root.GetReflection()->GetMessage(root, field);
  const std::string id = job.GetReflection()->GetString(job, job.GetDescriptor()->FindFieldByName("id"));
  if (id.empty() && method == kJobRegister) return endpoint::bad_request("Job ID hasn't been provided");
  if (id.empty() && method == kJobPlan) return endpoint::bad_request("Job must have a valid ID");
  return {};
}

Outcome<> check_same(pb::Message& root, const endpoint::RouteMatch& match) {
  if (match.route->same.empty()) return {};
  const Place place = find_place(root, match.route->same);
  STEPPE_ASSERT(place.field != nullptr && !match.parameters.empty());
  const std::string body = place.message->GetReflection()->GetString(*place.message, place.field);
  if (body.empty() && match.route->body == endpoint::RequestBody::kOptional) return {};
  if (body != match.parameters.front().value) return endpoint::bad_request("Job ID does not match name");
  return {};
}

}  // namespace

Outcome<std::unique_ptr<endpoint::Message>> build_request(const endpoint::RouteMatch& match, const Request& request) {
  const endpoint::HttpRoute& route = *match.route;
  std::unique_ptr<endpoint::Message> message = endpoint::new_request(route.method);
  if (route.body == endpoint::RequestBody::kData) {
    const Place place = find_place(*message, "data");
    STEPPE_ASSERT(place.field != nullptr);
    place.message->GetReflection()->SetString(place.message, place.field, request.body);
  } else if (route.body != endpoint::RequestBody::kNone) {
    if (request.body.empty() && route.body == endpoint::RequestBody::kJson) return endpoint::bad_request("Request body is empty");
    if (!request.body.empty()) {
      Result<> read = schema::read_json(request.body, message.get());
      if (!read.ok()) return endpoint::bad_request(read.error().message());
    }
  }
  STEPPE_TRY_VOID(check_job(route.method, *message));
  STEPPE_TRY_VOID(check_same(*message, match));
  for (const endpoint::Parameter& parameter : match.parameters) {
    // A body that holds the whole object names it itself (`same` was checked).
    if (find_place(*message, parameter.name).field == nullptr) continue;
    STEPPE_TRY_VOID(set_field(*message, parameter.name, parameter.name, parameter.value));
  }
  for (const auto& [parameter, field] : endpoint::query_fields(route)) {
    if (const std::string* value = request.query.find(parameter)) STEPPE_TRY_VOID(set_field(*message, field, parameter, *value));
  }
  // Nomad follows unless told not to.
  if (route.method == endpoint::Method::kFileSystemStream && !request.query.has("follow")) {
    STEPPE_TRY_VOID(set_field(*message, "follow", "follow", "true"));
  }
  STEPPE_TRY_VOID(set_common(*message, request.query));
  return message;
}

}  // namespace steppe::http
