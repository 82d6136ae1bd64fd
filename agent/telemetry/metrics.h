#pragma once

// Every metric the agent has: one row each. X(Enumerator, kind, "name", "help"). Names are Nomad's where it has the metric.
// A gauge shows its last value; a counter counts events; a sample collects values (milliseconds for durations).

// clang-format off
#define STEPPE_TELEMETRY_METRICS(X) \
  X(BrokerReady, kGauge, "nomad.broker.total_ready", "Evaluations ready to be processed") \
  X(BrokerUnacked, kGauge, "nomad.broker.total_unacked", "Evaluations handed out and not yet acknowledged") \
  X(BrokerPending, kGauge, "nomad.broker.total_pending", "Evaluations behind another of their job") \
  X(BrokerWaiting, kGauge, "nomad.broker.total_waiting", "Evaluations that wait for their time") \
  X(BrokerCancelable, kGauge, "nomad.broker.total_cancelable", "Superseded evaluations not yet marked canceled") \
  X(BrokerFailed, kGauge, "nomad.broker._failed_ready", "Evaluations that reached their delivery limit") \
  X(BrokerRefused, kCounter, "nomad.broker.refused", "Evaluations refused because the broker was full") \
  X(BlockedTotal, kGauge, "nomad.blocked_evals.total_blocked", "Evaluations that wait for capacity") \
  X(BlockedEscaped, kGauge, "nomad.blocked_evals.total_escaped", "Blocked evaluations that any node may unblock") \
  X(PlanQueueDepth, kGauge, "nomad.plan.queue_depth", "Plans that wait for the applier") \
  X(PlanEvaluate, kSample, "nomad.plan.evaluate", "Time to check a plan against the state") \
  X(PlanApply, kSample, "nomad.plan.apply", "Time to commit a plan") \
  X(PlanWait, kSample, "nomad.plan.wait_for_index", "Time a plan waited for an overlapping one before it") \
  X(PlanNodeRejected, kCounter, "nomad.plan.node_rejected", "Nodes whose part of a plan was refused") \
  X(PlanRefused, kCounter, "nomad.plan.refused", "Plans refused because the queue was full or their evaluation was not held") \
  X(WorkerInvoke, kSample, "nomad.worker.invoke_scheduler", "Time of one scheduling attempt") \
  X(WorkerDequeue, kCounter, "nomad.worker.dequeue_eval", "Evaluations taken from the broker") \
  X(WorkerAck, kCounter, "nomad.worker.send_ack", "Evaluations acknowledged") \
  X(WorkerNack, kCounter, "nomad.worker.send_nack", "Evaluations given back") \
  X(FsmApply, kSample, "nomad.fsm.apply", "Time to apply one log entry") \
  X(RaftPropose, kSample, "nomad.raft.commit_time", "Time from proposal to applied") \
  X(HeartbeatActive, kGauge, "nomad.heartbeat.active", "Nodes with a heartbeat timer") \
  X(HeartbeatMissed, kCounter, "nomad.heartbeat.invalidate", "Nodes that missed their heartbeat") \
  X(ClientUpdates, kCounter, "nomad.client.update_alloc", "Allocation updates received from nodes") \
  X(BlockingQueries, kGauge, "nomad.rpc.query.blocking", "Blocking queries that wait") \
  X(RpcRequest, kCounter, "nomad.rpc.request", "Requests to server methods") \
  X(RpcError, kCounter, "nomad.rpc.request_error", "Requests that were answered with an error") \
  X(HttpRequest, kCounter, "nomad.http.request", "HTTP requests") \
  X(HttpError, kCounter, "nomad.http.request_error", "HTTP requests answered with a status of 400 or above") \
  X(GcEvals, kCounter, "nomad.core.gc_evals", "Evaluations removed by garbage collection") \
  X(GcAllocs, kCounter, "nomad.core.gc_allocs", "Allocations removed by garbage collection") \
  X(ClientAllocsRunning, kGauge, "nomad.client.allocations.running", "Allocations that run on this node") \
  X(ClientAllocsPending, kGauge, "nomad.client.allocations.pending", "Allocations that start on this node") \
  X(ClientAllocsTerminal, kGauge, "nomad.client.allocations.terminal", "Ended allocations that this node still keeps") \
  X(ClientUptime, kGauge, "nomad.client.uptime", "Seconds since the client started") \
  X(TaskStarts, kCounter, "nomad.client.allocs.start", "Tasks started on this node") \
  X(TaskRestarts, kCounter, "nomad.client.allocs.restart", "Tasks restarted on this node")
// clang-format on
