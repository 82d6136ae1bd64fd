#include "agent/maintenance/maintenance_api.h"

#include <format>

#include "agent/config/load.h"
#include "init/base/text.h"
#include "init/json/writer.h"
#include "init/machine/sources.h"

namespace steppe::maintenance {

namespace {

using http::Response;

std::string given_code(const http::Request& request) {
  constexpr std::string_view kBearer = "bearer ";
  if (const std::string* value = http::find_header(request.headers, "Authorization")) {
    if (lower(value->substr(0, kBearer.size())) == kBearer) return std::string(trim(value->substr(kBearer.size())));
  }
  const std::string* token = http::find_header(request.headers, "X-Nomad-Token");
  return token ? *token : "";
}

Result<> check(const std::string& text) {
  STEPPE_TRY(const machine::MachineConfig config, machine::validate_machine_config("config", text, config::check_text));
  if (machine::names_machine(config)) return {};
  return {Code::kInvalid, "config: it names neither identity, join nor agent: the machine would not know what to be"};
}

}  // namespace

Response MaintenanceApi::answer(const http::Request& request) {
  switch (desk_.check(request.remote, given_code(request), clock_.now())) {
    case CodeDesk::Verdict::kRight: break;
    case CodeDesk::Verdict::kWrong: {
      hooks_.wrong_code(request.remote);
      Response refused = Response::text(401, "this machine waits for its configuration; its console shows a code: send it as \"Authorization: Bearer CODE\"\n");
      refused.headers.emplace_back("WWW-Authenticate", "Bearer");
      return refused;
    }
    case CodeDesk::Verdict::kLater: {
      Response later = Response::text(429, "too many wrong codes: try again in a minute\n");
      later.headers.emplace_back("Retry-After", "60");
      return later;
    }
  }
  if (request.path == "/v1/machine/status") return request.method == "GET" ? status() : Response::text(405, "expected GET\n");
  if (request.path != "/v1/machine/config") return Response::text(404, "this machine waits for its configuration: PUT /v1/machine/config, or GET /v1/machine/status\n");
  if (request.method != "PUT" && request.method != "POST") return Response::text(405, "expected PUT\n");
  if (taken_) return Response::text(409, "a configuration was taken already; the machine goes on with it\n");
  return take(request.body);
}

Response MaintenanceApi::status() const {
  std::string out;
  json::Writer writer(&out);
  writer.begin_object();
  writer.key("State");
  writer.text("maintenance");
  writer.key("Version");
  writer.text(STEPPE_VERSION);
  writer.key("Lines");
  writer.begin_array();
  for (const std::string& line : hooks_.lines()) writer.text(line);
  writer.end_array();
  writer.end_object();
  return Response::json(std::move(out));
}

Response MaintenanceApi::take(const std::string& text) {
  if (Result<> fit = check(text); !fit.ok()) return Response::text(400, fit.error().message() + "\n");
  Result<Stored> stored = hooks_.store(text);
  if (!stored.ok()) return Response::text(500, stored.error().message() + "\n");
  taken_ = true;
  std::string out;
  json::Writer writer(&out);
  writer.begin_object();
  writer.key("Stored");
  writer.text(stored->path);
  writer.key("Kept");
  writer.boolean(stored->stays);
  writer.end_object();
  return Response::json(std::move(out));
}

}  // namespace steppe::maintenance
