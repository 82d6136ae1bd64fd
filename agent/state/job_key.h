#pragma once

#include <string>
#include <string_view>

namespace steppe::state {

// "namespace\0job": orders jobs by namespace, then id. Neither part may hold a zero byte (apply refuses it).
inline std::string job_key(std::string_view ns, std::string_view job_id) {
  std::string key;
  key.reserve(ns.size() + 1 + job_id.size());
  key.append(ns).push_back('\0');
  key.append(job_id);
  return key;
}

}  // namespace steppe::state
