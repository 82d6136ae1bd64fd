#include "agent/main/server_role.h"

#include <format>

#include "agent/state/persist.h"
#include "agent/state/writer.h"

namespace steppe::agent {

namespace {

constexpr raft::PeerId kSelf = 1;

// A snapshot of the state, chunk by chunk.
class StateImage final : public raft::SnapshotSource {
 public:
  explicit StateImage(state::Snapshot snapshot) : writer_(std::move(snapshot)) {}

  // The writer closes chunks at its own size; raft's are bounded by kMaxSnapshotChunk.
  io::Task<Result<std::string>> next() override {
    if (rest_.empty()) rest_ = writer_.next_chunk();
    std::string piece = rest_.substr(0, raft::kMaxSnapshotChunk);
    rest_.erase(0, piece.size());
    co_return piece;
  }

 private:
  state::PersistWriter writer_;
  std::string rest_;
};

}  // namespace

// Committed entries and snapshots to the server's state.
class ServerRole::Machine final : public raft::StateMachine {
 public:
  Machine(server::Server& server, io::Loop& loop, std::function<void(const Error&)> failed) : server_(server), loop_(loop), failed_(std::move(failed)) {}

  void apply(std::span<const raft::Entry> committed) override {
    for (const raft::Entry& entry : committed) {
      if (broken_) return;
      Result<> applied = server_.apply(entry.index, as_bytes(entry.data));
      if (applied.ok()) continue;
      broken_ = true;
      failed_(applied.error().wrap(std::format("log entry {}", entry.index)));
    }
  }

  std::unique_ptr<raft::SnapshotSource> capture() override { return std::make_unique<StateImage>(server_.store().snapshot()); }

  io::Task<Result<>> restore(raft::SnapshotSource& image) override {
    state::PersistReader reader;
    while (true) {
      STEPPE_CO_TRY(const std::string piece, co_await image.next());
      if (piece.empty()) break;
      STEPPE_CO_TRY_VOID(reader.feed(as_bytes(piece)));
      co_await io::yield(loop_);
    }
    STEPPE_CO_TRY(std::unique_ptr<state::Writer> restored, reader.finish());
    server_.store().install(std::move(restored));
    co_return Result<>();
  }

 private:
  server::Server& server_;
  io::Loop& loop_;
  std::function<void(const Error&)> failed_;
  bool broken_ = false;
};

class ServerRole::Proposals final : public server::Proposer {
 public:
  explicit Proposals(raft::Node& node) : node_(node) {}
  io::Task<Result<uint64_t>> propose(std::string entry, Patience patience) override {
    io::Deadline forever;
    return node_.propose(std::move(entry), std::move(forever), patience == Patience::kRefuse ? raft::Node::OnFullDisk::kRefuse : raft::Node::OnFullDisk::kWait);
  }

 private:
  raft::Node& node_;
};

// A quorum of one has nobody to talk to.
class ServerRole::NoPeers final : public raft::Transport {
 public:
  void send(raft::PeerId, std::string) override {}
};

ServerRole::ServerRole(io::Loop& loop, Rng& rng, log::Logger logger, telemetry::Registry& metrics, io::Directory& directory, server::Settings settings)
    : logger_(std::move(logger)), scope_(loop), changed_(loop) {
  server_ = std::make_unique<server::Server>(loop, rng, logger_, metrics, std::move(settings));
  const auto failed = [this](const Error& error) {
    logger_.error("the server cannot go on", {{"error", error}});
    if (on_failure) on_failure(error);
  };
  machine_ = std::make_unique<Machine>(*server_, loop, failed);
  transport_ = std::make_unique<NoPeers>();
  raft::NodeSettings node_settings;
  node_settings.id = kSelf;
  node_settings.boot = {kSelf};
  node_ = std::make_unique<raft::Node>(raft::Node::Parts{.loop = loop, .rng = rng, .directory = directory, .transport = *transport_, .machine = *machine_, .logger = logger_,
                                                         .on_leadership = [this](const raft::Leadership& leadership) { lead(leadership); }, .on_failure = failed, .wrap_log = {}},
                                       std::move(node_settings));
  proposals_ = std::make_unique<Proposals>(*node_);
  server_->set_proposer(proposals_.get());
}

ServerRole::~ServerRole() = default;

void ServerRole::add_methods(endpoint::Dispatcher& dispatcher) { server_->add_methods(dispatcher); }

io::Task<Result<>> ServerRole::start() {
  scope_.spawn(follow_leadership());
  co_return co_await node_->start();
}

io::Task<void> ServerRole::stop() {
  scope_.request_stop();
  co_await scope_.join();
  if (established_) co_await server_->revoke();
  established_ = false;
  co_await server_->stop();
  co_await node_->stop();
}

bool ServerRole::leading() const { return established_; }

raft::NodeMetrics ServerRole::metrics() const { return node_->metrics(); }

void ServerRole::lead(const raft::Leadership& leadership) {
  wanted_ = leadership.established;
  changed_.pulse();
}

// Leader duties begin and end one after the other, whatever raft does in between.
io::Task<void> ServerRole::follow_leadership() {
  while (!scope_.token().stop_requested()) {
    if (wanted_ != established_) {
      established_ = wanted_;
      if (established_) {
        logger_.info("cluster leadership acquired");
        server_->establish();
      } else {
        logger_.warn("cluster leadership lost");
        co_await server_->revoke();
      }
      continue;
    }
    io::Deadline until{.stop = scope_.token()};
    static_cast<void>(co_await changed_.wait(std::move(until)));
  }
}

}  // namespace steppe::agent
