#include "agent/server/query.h"

#include <algorithm>
#include <format>

#include "agent/schema/rpc.pb.h"
#include "agent/server/core.h"
#include "init/base/bytes.h"
#include "init/base/text.h"

namespace steppe::server {
namespace {

constexpr Duration kMaxWait = std::chrono::minutes(5);

using endpoint::Outcome;

Duration wait_of(const schema::QueryOptions& options, Rng& rng) {
  Duration wait(options.max_query_time_ns());
  if (wait <= Duration::zero() || wait > kMaxWait) wait = kMaxWait;
  return wait + Duration(static_cast<int64_t>(rng.below(static_cast<uint64_t>(wait.count()) / 16 + 1)));
}

void set_meta(const Core& core, uint64_t index, schema::QueryMeta* meta) {
  meta->set_index(index);
  meta->set_known_leader(core.leader || core.leader_known);
}

}  // namespace

io::Task<Outcome<>> answer(Core& core, const schema::QueryOptions& options, const endpoint::Call& call, schema::QueryMeta* meta, Look look) {
  const uint64_t after = options.min_query_index();
  io::Deadline deadline = call.deadline();
  if (after > 0) deadline.at = std::min(deadline.at, core.loop.now() + wait_of(options, core.rng));
  io::Event changed(core.loop);
  while (true) {
    std::vector<state::WatchKey> keys;
    uint64_t index = 0;
    {
      // Held for one look only: a blocking query must not keep old rows alive while it waits.
      const state::Snapshot snapshot = core.store.snapshot();
      STEPPE_CO_TRY(index, look(snapshot, keys));
    }
    set_meta(core, index, meta);
    if (after == 0 || index > after || keys.empty()) co_return Outcome<>();
    auto token = core.store.watches().wait(std::move(keys), [&changed](uint64_t) { changed.pulse(); });
    if (!token.ok()) co_return endpoint::too_many("too many blocking queries wait");
    ++core.blocking_queries;
    Result<> woken = co_await changed.wait(deadline);
    --core.blocking_queries;
    if (!woken.ok() && woken.error().code() == Code::kTimeout) co_return Outcome<>();
    if (!woken.ok()) co_return std::move(woken).error();
  }
}

Outcome<Page> Page::open(const schema::QueryOptions& options, const std::function<std::string(std::string_view)>& to_key) {
  if (!options.filter().empty()) return endpoint::bad_request("the filter parameter is not supported yet: leave it out and filter what comes back");
  if (options.per_page() < 0) return endpoint::bad_request("per_page must not be negative");
  Page page;
  page.per_page_ = std::min<size_t>(static_cast<size_t>(options.per_page()), kMaxPerPage);
  page.from_ = to_key && !options.next_token().empty() ? to_key(options.next_token()) : options.next_token();
  page.reverse_ = options.reverse();
  return page;
}

bool Page::take(std::string_view key, std::string_view token) {
  if (done_) return false;
  if (!started_ && !from_.empty() && (reverse_ ? key > from_ : key < from_)) return false;
  started_ = true;
  if (per_page_ != 0 && taken_ == per_page_) {
    next_token_ = token;
    done_ = true;
    return false;
  }
  ++taken_;
  return true;
}

std::string age_key(uint64_t create_index, const Uuid& id) { return std::format("{:020}.{}", create_index, id.text()); }
std::string age_token(uint64_t create_index, const Uuid& id) { return std::format("{}.{}", create_index, id.text()); }
std::string age_key_of_token(std::string_view token) {
  const size_t dot = std::min(token.find('.'), token.size());
  return std::format("{:0>20}{}", token.substr(0, dot), token.substr(dot));
}

Outcome<IdPrefix> IdPrefix::parse(std::string_view text) {
  IdPrefix prefix;
  size_t hyphens = 0;
  for (const char c : text) {
    if (c == '-') {
      ++hyphens;
    } else {
      prefix.hex.push_back(c);
    }
  }
  if (hyphens > 4) return endpoint::bad_request(std::format("UUID should have maximum of 4 \"-\"; got {}", hyphens));
  if (prefix.hex.size() % 2 != 0) return endpoint::bad_request("Input (without hyphens) must be even length");
  auto bytes = unhex(prefix.hex);
  if (!bytes.ok() || bytes->size() > 16) return endpoint::bad_request(std::format("Invalid UUID: {}", text));
  prefix.hex = steppe::hex(as_bytes(*bytes));
  return prefix;
}

bool IdPrefix::matches(const Uuid& id) const {
  return hex.empty() || steppe::hex(ByteView(id.bytes).first(hex.size() / 2)) == hex;
}

Uuid IdPrefix::first() const {
  Uuid id;
  const std::string bytes = unhex(hex).value();
  std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id;
}

Outcome<Uuid> parse_id(std::string_view what, std::string_view text) {
  auto id = Uuid::parse(text);
  if (!id.ok()) {
    const std::string_view why = text.size() == 36 ? "Invalid UUID" : "UUID must be 36 characters";
    return endpoint::bad_request(std::format("{} lookup failed: index error: {}", what, why));
  }
  return *id;
}

}  // namespace steppe::server
