#include "agent/raft/node_transfer.h"

#include "agent/raft/message.h"
#include "agent/raft/wire.h"

namespace steppe::raft {

std::string encode_frame(const ChunkFrame& frame) {
  WireWriter writer;
  writer.put_u8(static_cast<uint8_t>(FrameKind::kChunk));
  for (const uint64_t value : {frame.transfer, frame.index, frame.term, frame.offset, frame.total}) writer.put_u64(value);
  writer.put_blob(frame.bytes);
  return writer.take();
}

std::string encode_frame(const ChunkAckFrame& frame) {
  WireWriter writer;
  writer.put_u8(static_cast<uint8_t>(FrameKind::kChunkAck));
  writer.put_u64(frame.transfer);
  writer.put_u64(frame.next);
  return writer.take();
}

std::optional<ChunkFrame> decode_chunk(std::string_view bytes) {
  WireReader reader(bytes);
  reader.u8();
  ChunkFrame frame;
  for (uint64_t* value : {&frame.transfer, &frame.index, &frame.term, &frame.offset, &frame.total}) *value = reader.u64();
  frame.bytes = reader.blob();
  const bool sane = reader.at_end() && frame.index != 0 && frame.total <= kMaxSnapshotFile && frame.bytes.size() <= kChunkBytes &&
                    frame.offset <= frame.total && frame.bytes.size() <= frame.total - frame.offset && !frame.bytes.empty();
  if (!sane) return std::nullopt;
  return frame;
}

std::optional<ChunkAckFrame> decode_chunk_ack(std::string_view bytes) {
  WireReader reader(bytes);
  reader.u8();
  const ChunkAckFrame frame{reader.u64(), reader.u64()};
  if (!reader.at_end()) return std::nullopt;
  return frame;
}

void Node::send(std::vector<OutgoingMessage> messages) {
  for (OutgoingMessage& message : messages) {
    if (message.snapshot_index != 0) {
      scope_.spawn(send_snapshot(std::move(message)));
      continue;
    }
    std::string frame(1, static_cast<char>(FrameKind::kMessage));
    frame += message.bytes;
    parts_.transport.send(message.to, std::move(frame));
  }
}

io::Task<void> Node::send_snapshot(OutgoingMessage message) {
  if (transfers_.contains(message.to)) co_return;  // one at a time; its end is reported
  Transfer transfer(parts_.loop);
  transfer.id = next_transfer_++ | parts_.rng.next() << 32;
  transfers_.emplace(message.to, &transfer);
  bool sent = false;
  const auto decoded = decode_message(as_bytes(message.bytes));
  if (decoded.ok()) {
    const SnapshotPoint point = decoded->snapshot;
    auto file = co_await parts_.directory.open(SnapshotName{point.index, point.term}.text(), io::OpenMode::kRead);
    if (file.ok()) {
      const auto size = co_await (*file)->size();
      ChunkFrame head{.transfer = transfer.id, .index = point.index, .term = point.term, .total = size.ok() ? *size : 0};
      if (head.total != 0) sent = co_await send_chunks(message.to, transfer, **file, std::move(head));
    }
  }
  transfers_.erase(message.to);
  if (failed_ || scope_.token().stop_requested()) co_return;
  if (sent) {
    std::string frame(1, static_cast<char>(FrameKind::kMessage));
    frame += message.bytes;
    parts_.transport.send(message.to, std::move(frame));
  }
  engine_->report_snapshot(message.to, sent);
  kick();
}

io::Task<bool> Node::send_chunks(PeerId to, Transfer& transfer, io::File& file, ChunkFrame head) {
  const uint64_t total = head.total;
  uint64_t offset = 0;
  int attempts = 0;
  while (offset < total) {
    if (++attempts > kChunkAttempts || leadership_.role != Role::kLeader) co_return false;
    ChunkFrame frame = head;
    frame.offset = offset;
    frame.bytes.resize(std::min<uint64_t>(kChunkBytes, total - offset));
    const auto count = co_await file.read_at(offset, std::as_writable_bytes(std::span(frame.bytes)));
    if (!count.ok() || *count != frame.bytes.size()) co_return false;
    transfer.changed.reset();
    parts_.transport.send(to, encode_frame(frame));
    (void)co_await transfer.changed.wait(io::Deadline::in(parts_.loop, settings_.snapshot_chunk_timeout, scope_.token()));
    if (transfer.refused || failed_ || scope_.token().stop_requested()) co_return false;
    if (transfer.acked > offset) attempts = 0;
    offset = std::min(transfer.acked, total);
  }
  co_return true;
}

void Node::receive(PeerId from, std::string bytes) {
  if (!check_running().ok() || bytes.empty()) return;
  switch (static_cast<FrameKind>(bytes[0])) {
    case FrameKind::kMessage: return receive_message(std::string_view(bytes).substr(1));
    case FrameKind::kChunk: (void)incoming_->frames.try_push({from, std::move(bytes)}); return;  // full: it comes again
    case FrameKind::kChunkAck: {
      const auto ack = decode_chunk_ack(bytes);
      const auto found = transfers_.find(from);
      if (!ack || found == transfers_.end() || found->second->id != ack->transfer) return;
      if (ack->next == ChunkAckFrame::kRefused) found->second->refused = true;
      else found->second->acked = std::max(found->second->acked, ack->next);
      found->second->changed.set();
      return;
    }
  }
  ++refused_messages_;
}

void Node::receive_message(std::string_view bytes) {
  const auto message = decode_message(as_bytes(bytes));
  if (message.ok() && message->type == MessageType::kSnapshot) {
    // Its content comes first; a message without it is late, the leader will send another.
    const auto& whole = incoming_->whole;
    if (!whole || whole->index != message->snapshot.index || whole->term != message->snapshot.term || restoring_) return;
  }
  const Result<> stepped = engine_->step(as_bytes(bytes));
  if (stepped.ok() && message.ok() && message->type == MessageType::kSnapshot) incoming_->accepted = true;
  if (!stepped.ok() && stepped.error().code() != Code::kUnavailable) {
    ++refused_messages_;
    const auto level = stepped.error().code() == Code::kCorrupt ? log::Level::kError : log::Level::kDebug;
    if (level == log::Level::kError) parts_.logger.error("a peer's message was refused", {{"error", stepped.error()}});
    else parts_.logger.debug("a peer's message was refused", {{"error", stepped.error()}});
  }
  kick();
}

io::Task<void> Node::receive_chunks() {
  while (!scope_.token().stop_requested()) {
    auto next = co_await incoming_->frames.pop({.stop = scope_.token()});
    if (!next.ok()) co_return;
    const PeerId from = next->first;
    const auto frame = decode_chunk(next->second);
    if (!frame) {
      ++refused_messages_;
      continue;
    }
    const Result<> taken = co_await take_chunk(from, *frame);
    if (taken.ok()) continue;
    parts_.logger.warn("a snapshot from the leader was not taken", {{"index", frame->index}, {"error", taken.error()}});
    incoming_->file.reset();
    incoming_->transfer = 0;
    parts_.transport.send(from, encode_frame(ChunkAckFrame{frame->transfer, ChunkAckFrame::kRefused}));
  }
}

io::Task<Result<>> Node::take_chunk(PeerId from, ChunkFrame frame) {
  Incoming& incoming = *incoming_;
  const auto answer = [&](uint64_t next) { parts_.transport.send(from, encode_frame(ChunkAckFrame{frame.transfer, next})); };
  if (incoming.accepted) co_return {};  // its file must stay as it is; the piece comes again
  if (incoming.transfer != frame.transfer || incoming.from != from) {
    if (frame.offset != 0) co_return {};  // of an attempt that was given up
    incoming.whole.reset();
    incoming.file.reset();
    auto opened = co_await parts_.directory.open(kReceivePart, io::OpenMode::kCreate);
    if (!opened.ok()) co_return std::move(opened).error();
    STEPPE_CO_TRY_VOID(co_await (*opened)->truncate(0));
    incoming.file = *std::move(opened);
    incoming.transfer = frame.transfer;
    incoming.from = from;
    incoming.received = 0;
  }
  if (frame.offset != incoming.received || !incoming.file) {
    answer(incoming.received);
    co_return {};
  }
  STEPPE_CO_TRY_VOID(co_await incoming.file->write_at(frame.offset, as_bytes(frame.bytes)));
  incoming.received += frame.bytes.size();
  if (incoming.received == frame.total) {
    STEPPE_CO_TRY_VOID(co_await incoming.file->sync());
    incoming.file.reset();
    auto reader = co_await SnapshotReader::open(parts_.directory, kReceivePart);
    if (!reader.ok()) co_return std::move(reader).error();
    STEPPE_CO_TRY_VOID(co_await (*reader)->verify());
    const SnapshotPoint point = (*reader)->point();
    if (point.index != frame.index || point.term != frame.term) co_return Error(Code::kCorrupt, "another snapshot than announced");
    incoming.whole = point;
  }
  answer(incoming.received);
  co_return {};
}

// The file is durable under its temporary name; the engine decided to take it.
io::Task<Result<>> Node::install(SnapshotPoint point) {
  if (!incoming_->whole || incoming_->whole->index != point.index || incoming_->whole->term != point.term) {
    co_return Error(Code::kUnavailable, "the content of the accepted snapshot was replaced by another one's");
  }
  STEPPE_CO_TRY_VOID(co_await parts_.directory.rename(kReceivePart, SnapshotName{point.index, point.term}.text()));
  STEPPE_CO_TRY_VOID(co_await parts_.directory.sync());
  // Only now may another transfer make a new file under the temporary name: opened before the rename, it
  // would write into this snapshot.
  incoming_->whole.reset();
  incoming_->transfer = 0;
  incoming_->accepted = false;
  co_return {};
}

}  // namespace steppe::raft
