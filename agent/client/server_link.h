#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace steppe::schema {
class Allocation;
class Node;
}

namespace steppe::client {

// What the client asks of the servers. Loop thread of the client only. Every call is bounded by its deadline; an error
// says that it may not have happened.
class ServerLink {
 public:
  virtual ~ServerLink() = default;

  struct Registered {
    Duration heartbeat_ttl{};
  };
  virtual io::Task<Result<Registered>> register_node(std::shared_ptr<const schema::Node> node, io::Deadline deadline) = 0;
  // `status`: "init" or "ready". kNotFound: the servers do not know this node (any more): register again.
  virtual io::Task<Result<Registered>> update_status(std::string node_id, std::string secret, std::string status,
                                                     io::Deadline deadline) = 0;

  // Ids of this node's allocs and when each last changed for the client. Waits while the index is `min_index` or less.
  struct AllocIndexes {
    uint64_t index = 0;
    std::map<std::string, uint64_t> allocs;
  };
  virtual io::Task<Result<AllocIndexes>> get_client_allocs(std::string node_id, std::string secret, uint64_t min_index,
                                                           io::Deadline deadline) = 0;
  virtual io::Task<Result<std::vector<std::unique_ptr<schema::Allocation>>>> get_allocs(std::string secret,
                                                                                        std::vector<std::string> ids,
                                                                                        io::Deadline deadline) = 0;
  virtual io::Task<Result<>> update_allocs(std::string node_id, std::string secret,
                                           std::vector<std::unique_ptr<schema::Allocation>> allocs,
                                           io::Deadline deadline) = 0;
};

}  // namespace steppe::client
