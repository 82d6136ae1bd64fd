#pragma once

#include <expected>
#include <type_traits>
#include <utility>

#include "init/base/error.h"

namespace steppe {

// A value or an Error. Never ignored: the compiler warns, and warnings are errors.
//
//   Result<int> parse(std::string_view text);
//   STEPPE_TRY(int port, parse(text));             // returns the error to our caller
//   STEPPE_TRY_VOID(file.sync());
//   STEPPE_CO_TRY(auto bytes, co_await stream.read(buffer));   // inside a coroutine
template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using Base = std::expected<T, Error>;

  Result() = default;
  template <class U = T>
    requires(!std::is_void_v<T> && std::is_convertible_v<U &&, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error>)
  Result(U&& value) : Base(std::in_place, std::forward<U>(value)) {}
  Result(Error error) : Base(std::unexpect, std::move(error)) {}
  Result(Code code, std::string message) : Base(std::unexpect, code, std::move(message)) {}

  bool ok() const { return this->has_value(); }

  // Adds a frame to the error, if there is one: return open(path).wrap("read job file");
  Result&& wrap(std::string_view frame) && {
    if (!ok()) std::move(this->error()).wrap(frame);
    return std::move(*this);
  }
};

}  // namespace steppe

#define STEPPE_CONCAT_(a, b) a##b
#define STEPPE_CONCAT(a, b) STEPPE_CONCAT_(a, b)

// `decl = value of expr`, or return its error from this function. The `_CO_` forms co_return it.
#define STEPPE_TRY(decl, ...) STEPPE_TRY_(STEPPE_CONCAT(try_, __LINE__), return, decl, __VA_ARGS__)
#define STEPPE_CO_TRY(decl, ...) STEPPE_TRY_(STEPPE_CONCAT(try_, __LINE__), co_return, decl, __VA_ARGS__)
#define STEPPE_TRY_(name, leave, decl, ...)               \
  auto name = (__VA_ARGS__);                              \
  if (!name.ok()) leave std::move(name).error();          \
  decl = *std::move(name)

#define STEPPE_TRY_VOID(...) STEPPE_TRY_VOID_(STEPPE_CONCAT(try_, __LINE__), return, __VA_ARGS__)
#define STEPPE_CO_TRY_VOID(...) STEPPE_TRY_VOID_(STEPPE_CONCAT(try_, __LINE__), co_return, __VA_ARGS__)
#define STEPPE_TRY_VOID_(name, leave, ...)                          \
  do {                                                              \
    if (auto name = (__VA_ARGS__); !name.ok()) leave std::move(name).error(); \
  } while (false)
