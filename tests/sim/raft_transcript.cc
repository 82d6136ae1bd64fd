#include "tests/sim/raft_transcript.h"

#include <algorithm>
#include <format>
#include <set>

#include "init/base/assert.h"
#include "init/base/text.h"

namespace steppe::sim {

using namespace steppe::raft;

namespace {

// "cfg=(1, 2)" and the like become one word.
std::string join_parentheses(std::string_view line) {
  std::string out;
  int depth = 0;
  for (const char c : line) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c == ' ' && depth > 0) continue;
    out += c;
  }
  return out;
}

std::string conf_text(const ConfChange& change) {
  std::string out;
  for (const auto& single : change.changes) {
    constexpr const char* kLetters[] = {"v", "r", "l"};
    out += std::format("{}{}{}", out.empty() ? "" : " ", kLetters[static_cast<int>(single.type)], single.peer);
  }
  return out;
}

const char* type_text(MessageType type) {
  switch (type) {
    case MessageType::kAppend: return "MsgApp";
    case MessageType::kAppendResponse: return "MsgAppResp";
    case MessageType::kRequestVote: return "MsgVote";
    case MessageType::kRequestVoteResponse: return "MsgVoteResp";
    case MessageType::kRequestPreVote: return "MsgPreVote";
    case MessageType::kRequestPreVoteResponse: return "MsgPreVoteResp";
    case MessageType::kSnapshot: return "MsgSnap";
    case MessageType::kHeartbeat: return "MsgHeartbeat";
    case MessageType::kHeartbeatResponse: return "MsgHeartbeatResp";
    case MessageType::kTimeoutNow: return "MsgTimeoutNow";
    case MessageType::kTransferLeader: return "MsgTransferLeader";
    default: return "Msg?";
  }
}

const char* role_text(Role role) {
  switch (role) {
    case Role::kFollower: return "StateFollower";
    case Role::kCandidate: return "StateCandidate";
    case Role::kLeader: return "StateLeader";
    case Role::kPreCandidate: return "StatePreCandidate";
  }
  return "";
}

std::string list_text(const std::vector<PeerId>& ids) {
  std::string out;
  for (const PeerId id : ids) out += std::format("{}{}", out.empty() ? "" : " ", id);
  return out;
}

std::string point_text(const SnapshotPoint& point) {
  return std::format("Index:{} Term:{} ConfState:Voters:[{}] VotersOutgoing:[{}] Learners:[{}] LearnersNext:[{}] AutoLeave:{}", point.index,
                     point.term, list_text(point.conf.voters), list_text(point.conf.voters_outgoing), list_text(point.conf.learners),
                     list_text(point.conf.learners_next), point.conf.auto_leave);
}

// Both engines write a change in either of two entry types; ours always in the newer.
std::string one_change_type(std::string line) {
  for (size_t at; (at = line.find("EntryConfChangeV2")) != line.npos;) line.replace(at, 17, "EntryConfChange");
  return line;
}

}  // namespace

std::vector<TranscriptStep> parse_transcript(std::string_view text) {
  std::vector<TranscriptStep> steps;
  enum class In : uint8_t { kNothing, kInput, kOutput } in = In::kNothing;
  int number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (in == In::kOutput) {
      if (line.empty()) in = In::kNothing;
      else steps.back().expected.emplace_back(line);
    } else if (line == "----") {
      in = In::kOutput;
    } else if (line.starts_with('#') || line.empty()) {
      continue;
    } else if (in == In::kInput) {
      steps.back().input.emplace_back(line);
    } else {
      TranscriptStep step{.line = number};
      const std::string joined = join_parentheses(line);
      for (const std::string_view word : split(joined, ' ')) {
        if (word.empty()) continue;
        if (step.command.empty()) step.command = word;
        else if (const size_t at = word.find('='); at != word.npos) step.options[std::string(word.substr(0, at))] = word.substr(at + 1);
        else step.words.emplace_back(word);
      }
      steps.push_back(std::move(step));
      in = In::kInput;
    }
  }
  return steps;
}

std::vector<uint64_t> parse_ids(std::string_view text) {
  if (text.starts_with('(')) text = text.substr(1, text.size() - 2);
  std::vector<uint64_t> ids;
  if (text.empty() || text == "zero") return ids;
  for (const std::string_view item : split(text, ',')) ids.push_back(parse_uint(trim(item)).value_or(0));
  return ids;
}

std::string print_entry(const Entry& entry) {
  if (entry.type == EntryType::kNormal) return std::format("{}/{} EntryNormal \"{}\"", entry.term, entry.index, entry.data);
  const auto change = decode_conf_change(entry);
  const std::string text = change.ok() ? conf_text(*change) : "?";
  return std::format("{}/{} EntryConfChange{}{}", entry.term, entry.index, text.empty() ? "" : " ", text);
}

std::string print_message(const Message& m) {
  std::string out = std::format("{}->{} {} Term:{} Log:{}/{}", m.from, m.to, type_text(m.type), m.term, m.log_term, m.index);
  if (m.reject) out += std::format(" Rejected (Hint: {})", m.reject_hint);
  // This engine also tells its commit index in answers and vote requests; the scenarios' engine does not.
  const bool tells = m.type == MessageType::kAppend || m.type == MessageType::kHeartbeat;
  if (tells && m.commit != 0) out += std::format(" Commit:{}", m.commit);
  if (!m.entries.empty()) {
    out += " Entries:[";
    for (size_t i = 0; i < m.entries.size(); ++i) out += (i == 0 ? "" : ", ") + print_entry(m.entries[i]);
    out += "]";
  }
  if (m.snapshot.index != 0) out += " Snapshot: " + point_text(m.snapshot);
  return out;
}

void TranscriptGroup::answer(const std::string& key, std::string line) {
  if (!step_quiet_) found_.of[key].push_back(std::move(line));
}

void TranscriptGroup::add_nodes(const TranscriptStep& step) {
  const uint64_t count = parse_uint(step.words.at(0)).value_or(0);
  for (uint64_t i = 0; i < count; ++i) {
    const PeerId id = members_.size() + 1;
    Member& member = members_[id];
    Saved saved;
    saved.snapshot.index = parse_uint(step.option("index", "0")).value_or(0);
    saved.snapshot.term = saved.snapshot.index == 0 ? 0 : 1;
    saved.snapshot.conf.voters = parse_ids(step.option("voters"));
    saved.snapshot.conf.learners = parse_ids(step.option("learners"));
    EngineSettings settings{.id = id, .election_ticks = 3, .heartbeat_ticks = 1, .max_message = {UINT64_MAX >> 1}};
    settings.max_uncommitted = {UINT64_MAX};
    settings.max_inflight_messages = parse_uint(step.option("inflight", "1024")).value_or(0);
    settings.max_apply = {parse_uint(step.option("max-committed-size-per-ready", "1000000000")).value_or(0)};
    settings.check_quorum = step.option("checkquorum") == "true";
    settings.pre_vote = step.option("prevote") == "true";
    auto engine = Engine::create(settings, saved);
    STEPPE_ASSERT(engine.ok());
    member.engine = *std::move(engine);
    member.point = saved.snapshot;
    member.role = "Lead:0 State:StateFollower";
  }
}

void TranscriptGroup::apply(PeerId id, const std::vector<Entry>& committed) {
  Member& member = members_[id];
  for (const Entry& entry : committed) {
    answer(std::format("{} commits", id), print_entry(entry));
    if (entry.type != EntryType::kNormal) (void)member.engine->apply_conf_entry(entry);
    member.engine->applied(entry.index);
    // Each applied entry can be sent as a snapshot.
    (void)member.engine->snapshot_taken(entry.index, member.engine->conf_state());
  }
}

void TranscriptGroup::process_ready(PeerId id) {
  Member& member = members_[id];
  Ready ready = member.engine->ready();
  if (ready.has_soft) {
    const std::string role = std::format("Lead:{} State:{}", ready.leader, role_text(ready.role));
    answer(std::format("{} roles", id), role);
  }
  if (ready.has_hard) {
    const std::string own = std::format("Term:{} Vote:{}", ready.hard.term, ready.hard.vote);
    auto& list = found_.of[std::format("{} term and vote", id)];
    if (!step_quiet_ && (list.empty() || list.back() != own)) list.push_back(own);
    member.hard = ready.hard;
  }
  if (ready.has_snapshot) {
    answer(std::format("{} snapshots", id), point_text(ready.snapshot));
    member.log.clear();
    member.point = ready.snapshot;
  }
  for (const Entry& entry : ready.entries) {
    answer(std::format("{} entries", id), print_entry(entry));
    std::erase_if(member.log, [&](const Entry& old) { return old.index >= entry.index; });
    member.log.push_back(entry);
  }
  const auto post = [&](const std::vector<OutgoingMessage>& messages) {
    for (const OutgoingMessage& raw : messages) {
      auto message = decode_message(as_bytes(raw.bytes));
      STEPPE_ASSERT(message.ok());
      answer(std::format("{}->{}", message->from, message->to), print_message(*message));
      wire_.push_back(*std::move(message));
    }
  };
  post(ready.messages);
  member.engine->persisted(ready.number);
  if (ready.has_snapshot) member.engine->applied(ready.snapshot.index);
  post(ready.messages_after_persist);
  apply(id, ready.committed);
}

bool TranscriptGroup::deliver(PeerId to, bool drop) {
  std::vector<Message> mine;
  std::erase_if(wire_, [&](Message& message) {
    if (message.to != to) return false;
    mine.push_back(std::move(message));
    return true;
  });
  for (const Message& message : mine) {
    if (!drop && members_.contains(to)) (void)members_[to].engine->step(as_bytes(encode_message(message)));
  }
  return !mine.empty();
}

void TranscriptGroup::stabilize(std::vector<uint64_t> ids) {
  if (ids.empty()) {
    for (const auto& [id, member] : members_) ids.push_back(id);
  }
  for (bool done = false; !done;) {
    done = true;
    for (const uint64_t id : ids) {
      if (!members_[id].engine->has_ready()) continue;
      process_ready(id);
      done = false;
    }
    for (const uint64_t id : ids) done &= !deliver(id, false);
  }
}

bool TranscriptGroup::propose_change(const TranscriptStep& step) {
  ConfChange change;
  const std::string transition = step.option("transition");
  if (transition == "implicit") change.transition = Transition::kJointImplicit;
  if (transition == "explicit") change.transition = Transition::kJointExplicit;
  for (const std::string& line : step.input) {
    for (const std::string_view word : split(line, ' ')) {
      const char letter = word.at(0);
      if (letter == 'u') return false;
      const ChangeType type = letter == 'v' ? ChangeType::kAddVoter : letter == 'r' ? ChangeType::kRemove : ChangeType::kAddLearner;
      change.changes.push_back({type, parse_uint(word.substr(1)).value_or(0)});
    }
  }
  (void)members_[parse_uint(step.words.at(0)).value_or(0)].engine->propose_conf_change(change);
  return true;
}

void TranscriptGroup::status(PeerId id) {
  for (const PeerProgress& peer : members_[id].engine->progress()) {
    constexpr const char* kStates[] = {"StateProbe", "StateReplicate", "StateSnapshot"};
    std::string line = std::format("{}: {} match={} next={}", peer.peer, kStates[static_cast<int>(peer.state)], peer.match, peer.next);
    if (peer.learner) line += " learner";
    if (peer.paused) line += " paused";
    if (peer.pending_snapshot != 0) line += std::format(" pendingSnap={}", peer.pending_snapshot);
    if (!peer.recently_active && peer.peer != id) line += " inactive";
    if (peer.inflight != 0 && peer.inflight_full) line += std::format(" inflight={}[full]", peer.inflight);
    answer("status", line);
  }
}

void TranscriptGroup::raft_log(PeerId id) {
  const Member& member = members_[id];
  if (member.log.empty()) answer("raft-log", "log is empty");
  for (const Entry& entry : member.log) answer("raft-log", print_entry(entry));
}

void TranscriptGroup::raft_state() {
  for (const auto& [id, member] : members_) {
    const EngineStatus now = member.engine->status();
    answer("raft-state", std::format("{}: {} ({}) Term:{} Lead:{}", id, role_text(now.role), now.voter ? "Voter" : "Non-Voter", now.term, now.leader));
  }
}

bool TranscriptGroup::act(const TranscriptStep& step) {
  std::vector<uint64_t> ids;
  for (const std::string& word : step.words) ids.push_back(parse_uint(word).value_or(0));
  const auto engine = [&]() -> Engine& { return *members_[ids.at(0)].engine; };
  if (step.command == "add-nodes") add_nodes(step);
  else if (step.command == "campaign") (void)engine().campaign();
  else if (step.command == "propose") (void)engine().propose(as_bytes(step.words.at(1)));
  else if (step.command == "propose-conf-change") return propose_change(step);
  else if (step.command == "stabilize") stabilize(ids);
  else if (step.command == "tick-heartbeat") engine().tick();
  else if (step.command == "report-unreachable") engine().report_unreachable(ids.at(1));
  else if (step.command == "status") status(ids.at(0));
  else if (step.command == "raft-log") raft_log(ids.at(0));
  else if (step.command == "raft-state") raft_state();
  else if (step.command == "set-randomized-election-timeout") return engine().set_election_timeout(parse_uint(step.option("timeout")).value_or(0)).ok();
  else if (step.command == "transfer-leadership") (void)members_[parse_ids(step.option("from")).at(0)].engine->transfer_leader(parse_ids(step.option("to")).at(0));
  else if (step.command == "process-ready") {
    for (const uint64_t id : ids) {
      if (members_[id].engine->has_ready()) process_ready(id);
    }
  } else if (step.command == "deliver-msgs") {
    for (const uint64_t id : ids) deliver(id, false);
    for (const uint64_t id : parse_ids(step.option("drop"))) deliver(id, true);
  } else if (step.command == "compact") {
    Member& member = members_[ids.at(0)];
    (void)member.engine->compact(ids.at(1));
    std::erase_if(member.log, [&](const Entry& entry) { return entry.index <= ids.at(1); });
  } else {
    return false;
  }
  return true;
}

void TranscriptGroup::read_ready_line(const std::string& line, PeerId id, std::string& section) {
  if (line.starts_with("Ready MustSync") || line.starts_with("INFO") || line.starts_with("DEBUG") || line.starts_with("WARN")) {
    section.clear();
  } else if (line.starts_with("Lead:")) {
    expected_.of[std::format("{} roles", id)].push_back(line);
  } else if (line.starts_with("HardState ")) {
    const std::string hard = line.substr(10);
    const size_t commit = hard.find(" Commit:");
    std::string own = hard.substr(0, commit);
    if (own.find("Vote:") == own.npos) own += " Vote:0";
    auto& list = expected_.of[std::format("{} term and vote", id)];
    if (list.empty() || list.back() != own) list.push_back(own);
  } else if (line.starts_with("Snapshot Index:")) {
    expected_.of[std::format("{} snapshots", id)].push_back(line.substr(9));
  } else if (line == "Entries:" || line == "CommittedEntries:" || line == "Messages:") {
    section = line;
  } else if (line.starts_with("Snapshot: ")) {
    if (section == "Messages:") {
      auto& list = expected_.of[expected_.of.at("last link").back()];
      list.back() += " " + line;
    }
  } else if (section == "Entries:") {
    expected_.of[std::format("{} entries", id)].push_back(one_change_type(line));
  } else if (section == "CommittedEntries:") {
    expected_.of[std::format("{} commits", id)].push_back(one_change_type(line));
  } else if (section == "Messages:") {
    const std::string link = line.substr(0, line.find(' '));
    expected_.of[link].push_back(one_change_type(line));
    expected_.of["last link"] = {link};
  }
}

void TranscriptGroup::read_expected(const TranscriptStep& step) {
  if (step_quiet_) return;
  if (step.command == "status" || step.command == "raft-log" || step.command == "raft-state") {
    for (const std::string& line : step.expected) expected_.of[step.command].push_back(one_change_type(line));
    return;
  }
  PeerId id = step.command == "process-ready" && step.words.size() == 1 ? parse_uint(step.words[0]).value_or(0) : 0;
  std::string section;
  std::string open;  // a message whose entries stand on lines of their own
  for (const std::string& raw : step.expected) {
    std::string line(trim(raw));
    if (line.ends_with("Entries:[") || !open.empty()) {
      const bool first = open.empty();
      open += (first || line == "]" || open.ends_with('[') ? "" : ", ") + line;
      if (line != "]") continue;
      line = std::exchange(open, {});
    }
    if (line.starts_with("> ")) {
      id = line.ends_with("handling Ready") ? parse_uint(line.substr(2, line.find(' ', 2) - 2)).value_or(0) : 0;
      section.clear();
    } else if (id != 0 && line != "ok" && line != "<empty Ready>") {
      read_ready_line(line, id, section);
    }
  }
}

bool TranscriptGroup::run(const TranscriptStep& step) {
  if (step.command == "log-level") {
    quiet_ = step.words.at(0) == "none";
    return true;
  }
  step_quiet_ = quiet_ || step.option("log-level") == "none";
  if (!act(step)) return false;
  read_expected(step);
  return true;
}

}  // namespace steppe::sim
