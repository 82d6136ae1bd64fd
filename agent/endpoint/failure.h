#pragma once

#include <concepts>
#include <expected>
#include <string>
#include <type_traits>
#include <utility>

#include "init/base/error.h"
#include "init/base/result.h"

namespace steppe::endpoint {

// An Error that also knows the HTTP status it is answered with. The message is the exact body: programs match on it.
class [[nodiscard]] Failure : public Error {
 public:
  Failure(int http_status, Code code, std::string message) : Error(code, std::move(message)), http_status_(http_status) {}
  // By code: not found 404, denied 403, invalid 400, exhausted 429, unsupported 501, all others 500.
  Failure(Error error);

  int http_status() const { return http_status_; }

 private:
  int http_status_;
};

// The answers that programs know by heart.
Failure permission_denied();                      // 403 "Permission denied"
Failure not_found(std::string_view what);         // 404 "<what> not found"
Failure bad_request(std::string message);         // 400
Failure rpc_error(std::string message);           // 500: what a server method refuses
Failure too_large(std::string message);           // 413
Failure too_many(std::string message);            // 429
Failure no_cluster_leader();                      // 500 "No cluster leader"

// Result with a Failure in place of the Error; the STEPPE_TRY macros take both, and an Outcome's error converts to Error.
template <class T = void>
class [[nodiscard]] Outcome : public std::expected<T, Failure> {
 public:
  using Base = std::expected<T, Failure>;

  Outcome() = default;
  template <class U = T>
    requires(!std::is_void_v<T> && std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, Outcome> &&
             !std::derived_from<std::remove_cvref_t<U>, Error>)
  Outcome(U&& value) : Base(std::in_place, std::forward<U>(value)) {}
  Outcome(Failure failure) : Base(std::unexpect, std::move(failure)) {}
  Outcome(Error error) : Base(std::unexpect, Failure(std::move(error))) {}

  bool ok() const { return this->has_value(); }
};

}  // namespace steppe::endpoint
