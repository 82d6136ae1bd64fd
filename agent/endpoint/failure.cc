#include "agent/endpoint/failure.h"

#include <format>

namespace steppe::endpoint {
namespace {

int status_of(Code code) {
  switch (code) {
    case Code::kInvalid: return 400;
    case Code::kNotFound: return 404;
    case Code::kDenied: return 403;
    case Code::kExhausted: return 429;
    case Code::kUnsupported: return 501;
    case Code::kExists:
    case Code::kUnavailable:
    case Code::kTimeout:
    case Code::kCancelled:
    case Code::kCorrupt:
    case Code::kIo: return 500;
  }
  return 500;
}

}  // namespace

Failure::Failure(Error error) : Error(std::move(error)), http_status_(status_of(code())) {}

Failure permission_denied() { return {403, Code::kDenied, "Permission denied"}; }
Failure not_found(std::string_view what) { return {404, Code::kNotFound, std::format("{} not found", what)}; }
Failure bad_request(std::string message) { return {400, Code::kInvalid, std::move(message)}; }
Failure rpc_error(std::string message) { return {500, Code::kInvalid, std::move(message)}; }
Failure too_large(std::string message) { return {413, Code::kExhausted, std::move(message)}; }
Failure too_many(std::string message) { return {429, Code::kExhausted, std::move(message)}; }
Failure no_cluster_leader() { return {500, Code::kUnavailable, "No cluster leader"}; }

}  // namespace steppe::endpoint
