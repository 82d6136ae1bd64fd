#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/client/client.h"
#include "agent/client/file_view.h"
#include "agent/client/usage.h"
#include "agent/endpoint/dispatcher.h"

namespace steppe::client {

// The methods that this node answers about its allocs: Allocations.*, FileSystem.*, ClientStats.*. Loop thread of the
// client. Outlives every call; the client may not know an alloc (404), or not yet have its directory (404).
class ClientApi {
 public:
  ClientApi(Client& client, io::Loop& loop);

  // Adds the handlers. Before the first call; the dispatcher must not be called after this object is gone.
  void serve(endpoint::Dispatcher& dispatcher);

 private:
  using Call = endpoint::Call;
  endpoint::Outcome<AllocRunner*> find(const std::string& id, const Call& call);
  endpoint::Outcome<AllocRunner*> find_with_files(const std::string& id, const Call& call);

  io::Task<endpoint::Outcome<>> restart(const schema::AllocRestartRequest& request, const Call& call, schema::GenericReply& reply);
  io::Task<void> await_restart(std::string alloc_id, std::map<std::string, uint64_t> attempts_before, io::Deadline deadline);
  io::Task<endpoint::Outcome<>> signal(const schema::AllocSignalRequest& request, const Call& call, schema::GenericReply& reply);
  io::Task<endpoint::Outcome<>> stats(const schema::AllocStatsRequest& request, const Call& call, schema::AllocStatsReply& reply);
  io::Task<endpoint::Outcome<>> collect(const schema::AllocGarbageCollectRequest& request, const Call& call, schema::GenericReply& reply);
  io::Task<endpoint::Outcome<>> collect_all(const schema::ClientGarbageCollectRequest& request, const Call& call, schema::GenericReply& reply);
  io::Task<endpoint::Outcome<>> node_stats(const schema::ClientStatsRequest& request, const Call& call, schema::ClientStatsReply& reply);
  io::Task<endpoint::Outcome<>> list(const schema::FsListRequest& request, const Call& call, schema::FsListReply& reply);
  io::Task<endpoint::Outcome<>> stat(const schema::FsStatRequest& request, const Call& call, schema::FsStatReply& reply);
  io::Task<endpoint::Outcome<>> read(const schema::FsReadRequest& request, const Call& call, endpoint::Stream& stream);
  io::Task<endpoint::Outcome<>> stream(const schema::FsReadRequest& request, const Call& call, endpoint::Stream& stream);
  io::Task<endpoint::Outcome<>> logs(const schema::FsLogsRequest& request, const Call& call, endpoint::Stream& stream);
  io::Task<endpoint::Outcome<>> exec(const schema::AllocExecRequest& request, const Call& call, endpoint::Stream& stream);

  Client& client_;
  io::Loop& loop_;
  UsageMeter meter_;
  std::optional<HostSample> host_before_;
};

// Carries one exec session over `stream` until the command has ended or the peer is gone. Exposed for tests.
io::Task<endpoint::Outcome<>> run_exec(io::Loop& loop, drivers::ExecSession& session, bool tty, endpoint::Stream& stream,
                                       io::Deadline deadline);

}  // namespace steppe::client
