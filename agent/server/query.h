#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/endpoint/dispatcher.h"
#include "agent/endpoint/failure.h"
#include "agent/state/snapshot.h"
#include "agent/state/watch.h"
#include "init/base/ids.h"
#include "init/io/task.h"

namespace steppe::schema {
class QueryOptions;
class QueryMeta;
}

namespace steppe::server {

struct Core;

// One look at the state: fills the reply from `snapshot`, names what a change of the answer would touch in `keys`, and
// returns the answer's index. Called again for each wake, on a reply that it clears itself.
using Look = std::function<endpoint::Outcome<uint64_t>(const state::Snapshot& snapshot, std::vector<state::WatchKey>& keys)>;

// Runs `look`, and while the request asks for an index above the answer's, waits for a change and looks again, up to the
// request's wait (default and maximum 5 minutes, plus up to a sixteenth at random). `meta` is filled with the answer's index.
// More waits than the state takes is 429.
io::Task<endpoint::Outcome<>> answer(Core& core, const schema::QueryOptions& options, const endpoint::Call& call, schema::QueryMeta* meta, Look look);

// What a Look does for one row, which is authorised by its own namespace: `show` gets it, its index is the answer's. No row
// is the table's index, and an empty reply.
template <class View, class Show>
endpoint::Outcome<uint64_t> look_at_row(const state::Snapshot& snapshot, const endpoint::Call& call, state::Table table, const std::optional<View>& row, Show show) {
  if (!row) {
    call.absent();
    return snapshot.table_index(table);
  }
  STEPPE_TRY_VOID(call.authorise(row->ns()));
  show(*row);
  return row->modify_index();
}

// A page of a list: the keys of its items are compared as text.
class Page {
 public:
  static constexpr size_t kMaxPerPage = 100'000;

  // 400 for a filter (not served yet) or a bad page size. `to_key` turns the request's token into the form of key that
  // take() compares.
  static endpoint::Outcome<Page> open(const schema::QueryOptions& options, const std::function<std::string(std::string_view)>& to_key = {});

  // Whether the item with `key` belongs to this page. Items come in list order. Once the page is full the next item's token
  // is the page's and all further ones are refused: stop when done().
  bool take(std::string_view key, std::string_view token);
  bool take(std::string_view key) { return take(key, key); }
  bool done() const { return done_; }
  bool reverse() const { return reverse_; }
  const std::string& next_token() const { return next_token_; }

 private:
  size_t per_page_ = 0;  // 0: all
  size_t taken_ = 0;
  std::string from_;
  std::string next_token_;
  bool reverse_ = false;
  bool done_ = false;
  bool started_ = false;
};

// Lists by age: "<create index>.<id>" is the token, the same with leading zeros the key.
std::string age_key(uint64_t create_index, const Uuid& id);
std::string age_token(uint64_t create_index, const Uuid& id);
std::string age_key_of_token(std::string_view token);

// A prefix of an id as the API takes it: an even number of hex digits, hyphens anywhere. 500 with the text that programs know.
struct IdPrefix {
  std::string hex;
  static endpoint::Outcome<IdPrefix> parse(std::string_view text);
  bool matches(const Uuid& id) const;
  // Where a list in id order may start.
  Uuid first() const;
};

// The whole id, or 500 "<what> lookup failed: index error: UUID must be 36 characters".
endpoint::Outcome<Uuid> parse_id(std::string_view what, std::string_view text);

}  // namespace steppe::server
