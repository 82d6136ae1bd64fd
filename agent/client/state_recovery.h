#pragma once

#include <string>
#include <vector>

#include "agent/client/state_store.h"
#include "init/io/child.h"
#include "init/io/loop.h"

namespace steppe::client {

// LMDB trusts the pages of its file: a damaged one may crash or hang whoever reads it, and a damaged list of free pages
// whoever writes. So the agent never opens a file that it finds. A child process reads it, record by record, and the
// agent makes a new file of what the child told; when the child crashed, hung or complained, a second one reads from the
// other end, and what neither could read is lost. The old file is replaced, or, when anything about it was wrong, kept.
//
//   data.mdb                  the state
//   identity                  who the node is, once more: to lose that would cost every alloc
//   data.mdb.fresh            being made; complete when data.mdb is missing
//   data.mdb.damaged-<ns>     kept for diagnosis, the newest kKeptDamaged of them

// How to run run_state_read() in a process of its own.
struct StateReader {
  std::string program;                        // absolute
  std::vector<std::string> arguments;         // what makes the program call it
  Duration limit = std::chrono::seconds(30);  // for each of two readings
};

inline constexpr std::string_view kStateReadCommand = "client-state-read";
inline constexpr size_t kKeptDamaged = 3;

// The child's main(). The last two words are "forward" or "backward" and the directory; records and a last word go to
// descriptor 3. 0: all is read. 1: not all.
int run_state_read(const std::vector<std::string>& words);

struct OpenedState {
  std::unique_ptr<StateStore> store;
  std::vector<std::string> damage;  // empty: all is well. Else what was wrong, and each alloc that it costs
  std::string kept_as;              // where the damaged file is
  std::string unchecked;            // why the file could not be looked at first (no process, no space); it is used as it is
};

// Opens the state in the existing directory, whatever condition it is in. An error is one of the machine (no space, no
// permission), never of the file's content.
io::Task<Result<OpenedState>> open_state(io::Loop& loop, io::Processes& processes, StateReader reader, std::string directory);

// Who the node is: by its record in the store, else by the file, which is made when it is missing; empty when neither says.
io::Task<Result<std::optional<NodeIdentity>>> find_identity(io::Loop& loop, StateStore& store, std::string directory);
// Writes both.
io::Task<Result<>> keep_identity(io::Loop& loop, StateStore& store, std::string directory, NodeIdentity identity);

// What a child told: its records, and whether its last word came. For open_state() and its tests.
struct StateReading {
  std::vector<StateRecord> records;
  bool complete = false;
  std::string complaint;
};
StateReading decode_reading(ByteView bytes);

}  // namespace steppe::client
