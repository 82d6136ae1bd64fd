#pragma once

// The authorisation table: one row a method, named as Nomad's RPCs. A method exists only by its row.
//   X(Enumerator, "Name", Kind, Request, Reply, NamespaceSource, CertificateRole, Limits, capabilities: any one suffices...)
// Requests and replies are messages of agent/schema/rpc.proto. Limits: kSmall for identifiers and options, kJob for a job
// with its source, kBulk for what nodes send, kScarce for work that loads the leader or the machine,
// kUpload for pieces of an image.

// clang-format off
#define STEPPE_ENDPOINT_METHODS(X) \
  X(JobRegister, "Job.Register", kWrite, JobRegisterRequest, JobRegisterReply, kJob, kClient, kJob, kRegisterJob, kSubmitJob) \
  X(JobDeregister, "Job.Deregister", kWrite, JobDeregisterRequest, JobDeregisterReply, kRequest, kClient, kSmall, kSubmitJob, kPurgeJob, kDeregisterJob) \
  X(JobEvaluate, "Job.Evaluate", kWrite, JobEvaluateRequest, JobRegisterReply, kRequest, kClient, kSmall, kEvaluateJob, kSubmitJob) \
  X(JobPlan, "Job.Plan", kWrite, JobPlanRequest, JobPlanReply, kJob, kClient, kScarceJob, kPlanJob, kSubmitJob) \
  X(JobValidate, "Job.Validate", kWrite, JobValidateRequest, JobValidateReply, kJob, kClient, kJob, kReadJob) \
  X(JobParse, "Job.Parse", kWrite, JobsParseRequest, SingleJobReply, kRequest, kClient, kJob, kParseJob, kSubmitJob) \
  X(JobGetJob, "Job.GetJob", kRead, JobSpecificRequest, SingleJobReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobList, "Job.List", kRead, JobListRequest, JobListReply, kRequest, kClient, kSmall, kListJobs) \
  X(JobGetJobVersions, "Job.GetJobVersions", kRead, JobVersionsRequest, JobVersionsReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobGetJobSubmission, "Job.GetJobSubmission", kRead, JobSubmissionRequest, JobSubmissionReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobAllocations, "Job.Allocations", kRead, JobSpecificRequest, JobAllocationsReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobEvaluations, "Job.Evaluations", kRead, JobSpecificRequest, JobEvaluationsReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobSummary, "Job.Summary", kRead, JobSpecificRequest, JobSummaryReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobDeployments, "Job.Deployments", kRead, JobSpecificRequest, DeploymentListReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobLatestDeployment, "Job.LatestDeployment", kRead, JobSpecificRequest, SingleDeploymentReply, kRequest, kClient, kSmall, kReadJob) \
  X(JobRevert, "Job.Revert", kWrite, JobRevertRequest, JobRegisterReply, kRequest, kClient, kSmall, kRevertJob, kSubmitJob) \
  X(JobStable, "Job.Stable", kWrite, JobStabilityRequest, JobStabilityReply, kRequest, kClient, kSmall, kStableJob, kSubmitJob) \
  X(PeriodicForce, "Periodic.Force", kWrite, PeriodicForceRequest, PeriodicForceReply, kRequest, kClient, kSmall, kDispatchJob, kSubmitJob, kForcePeriodicJob) \
  X(NodeRegister, "Node.Register", kWrite, NodeRegisterRequest, NodeUpdateReply, kNone, kClient, kBulk, kNodeSelf) \
  X(NodeUpdateStatus, "Node.UpdateStatus", kWrite, NodeUpdateStatusRequest, NodeUpdateReply, kNone, kClient, kSmall, kNodeSelf) \
  X(NodeUpdateAlloc, "Node.UpdateAlloc", kWrite, AllocUpdateRequest, GenericReply, kNone, kClient, kBulk, kNodeSelf) \
  X(NodeGetClientAllocs, "Node.GetClientAllocs", kRead, NodeSpecificRequest, NodeClientAllocsReply, kNone, kClient, kSmall, kNodeSelf) \
  X(NodeDeregister, "Node.Deregister", kWrite, NodeDeregisterRequest, NodeUpdateReply, kNone, kClient, kSmall, kNodeWrite) \
  X(NodeEvaluate, "Node.Evaluate", kWrite, NodeEvaluateRequest, NodeUpdateReply, kNone, kClient, kSmall, kNodeWrite) \
  X(NodeUpdateDrain, "Node.UpdateDrain", kWrite, NodeUpdateDrainRequest, NodeDrainReply, kNone, kClient, kSmall, kNodeWrite) \
  X(NodeUpdateEligibility, "Node.UpdateEligibility", kWrite, NodeUpdateEligibilityRequest, NodeUpdateReply, kNone, kClient, kSmall, kNodeWrite) \
  X(NodeGetNode, "Node.GetNode", kRead, NodeSpecificRequest, SingleNodeReply, kNone, kClient, kSmall, kNodeRead, kNodeSelf) \
  X(NodeList, "Node.List", kRead, NodeListRequest, NodeListReply, kNone, kClient, kSmall, kNodeRead) \
  X(NodeGetAllocs, "Node.GetAllocs", kRead, NodeSpecificRequest, NodeAllocsReply, kNone, kClient, kSmall, kNodeRead) \
  X(AllocList, "Alloc.List", kRead, AllocListRequest, AllocListReply, kRequest, kClient, kSmall, kReadJob) \
  X(AllocGetAlloc, "Alloc.GetAlloc", kRead, AllocSpecificRequest, SingleAllocReply, kObject, kClient, kSmall, kReadJob) \
  X(AllocGetAllocs, "Alloc.GetAllocs", kRead, AllocsGetRequest, AllocsGetReply, kNone, kClient, kBulk, kNodeSelf) \
  X(AllocStop, "Alloc.Stop", kWrite, AllocStopRequest, AllocStopReply, kObject, kClient, kSmall, kAllocLifecycle) \
  X(EvalGetEval, "Eval.GetEval", kRead, EvalSpecificRequest, SingleEvalReply, kObject, kClient, kSmall, kReadJob) \
  X(EvalList, "Eval.List", kRead, EvalListRequest, EvalListReply, kRequest, kClient, kSmall, kReadJob) \
  X(EvalCount, "Eval.Count", kRead, EvalListRequest, EvalCountReply, kRequest, kClient, kSmall, kReadJob) \
  X(EvalAllocations, "Eval.Allocations", kRead, EvalSpecificRequest, EvalAllocationsReply, kObject, kClient, kSmall, kReadJob) \
  X(DeploymentList, "Deployment.List", kRead, DeploymentListRequest, DeploymentListReply, kRequest, kClient, kSmall, kReadJob) \
  X(DeploymentGetDeployment, "Deployment.GetDeployment", kRead, DeploymentSpecificRequest, SingleDeploymentReply, kObject, kClient, kSmall, kReadJob) \
  X(DeploymentAllocations, "Deployment.Allocations", kRead, DeploymentSpecificRequest, DeploymentAllocationsReply, kObject, kClient, kSmall, kReadJob) \
  X(DeploymentPromote, "Deployment.Promote", kWrite, DeploymentPromoteRequest, DeploymentUpdateReply, kObject, kClient, kSmall, kPromoteDeployment, kSubmitJob) \
  X(DeploymentPause, "Deployment.Pause", kWrite, DeploymentPauseRequest, DeploymentUpdateReply, kObject, kClient, kSmall, kPauseDeployment, kSubmitJob) \
  X(DeploymentFail, "Deployment.Fail", kWrite, DeploymentFailRequest, DeploymentUpdateReply, kObject, kClient, kSmall, kFailDeployment, kSubmitJob) \
  X(DeploymentSetAllocHealth, "Deployment.SetAllocHealth", kWrite, DeploymentAllocHealthRequest, DeploymentUpdateReply, kObject, kClient, kSmall, kSetAllocHealthDeployment, kSubmitJob) \
  X(StatusLeader, "Status.Leader", kRead, EmptyRequest, StatusLeaderReply, kNone, kAnyone, kSmall) \
  X(StatusPeers, "Status.Peers", kRead, EmptyRequest, StatusPeersReply, kNone, kAnyone, kSmall) \
  X(StatusPing, "Status.Ping", kRead, EmptyRequest, StatusPingReply, kNone, kAnyone, kSmall) \
  X(StatusMembers, "Status.Members", kRead, EmptyRequest, ServerMembersReply, kNone, kClient, kSmall, kNodeRead) \
  X(RegionList, "Region.List", kRead, EmptyRequest, RegionListReply, kNone, kAnyone, kSmall) \
  X(SystemGarbageCollect, "System.GarbageCollect", kWrite, SystemRequest, GenericReply, kNone, kClient, kScarce, kManagement) \
  X(SystemReconcileJobSummaries, "System.ReconcileJobSummaries", kWrite, SystemRequest, GenericReply, kNone, kClient, kScarce, kManagement) \
  X(OperatorSchedulerGetConfiguration, "Operator.SchedulerGetConfiguration", kRead, EmptyRequest, SchedulerConfigurationReply, kNone, kClient, kSmall, kOperatorRead) \
  X(OperatorSchedulerSetConfiguration, "Operator.SchedulerSetConfiguration", kWrite, SchedulerSetConfigurationRequest, SchedulerSetConfigurationReply, kNone, kClient, kSmall, kOperatorWrite) \
  X(AllocationsRestart, "Allocations.Restart", kWrite, AllocRestartRequest, GenericReply, kObject, kClient, kSmall, kAllocLifecycle) \
  X(AllocationsSignal, "Allocations.Signal", kWrite, AllocSignalRequest, GenericReply, kObject, kClient, kSmall, kAllocLifecycle) \
  X(AllocationsStats, "Allocations.Stats", kRead, AllocStatsRequest, AllocStatsReply, kObject, kClient, kSmall, kReadJob) \
  X(AllocationsGarbageCollect, "Allocations.GarbageCollect", kWrite, AllocGarbageCollectRequest, GenericReply, kObject, kClient, kSmall, kSubmitJob, kGcAllocation) \
  X(AllocationsGarbageCollectAll, "Allocations.GarbageCollectAll", kWrite, ClientGarbageCollectRequest, GenericReply, kNone, kClient, kSmall, kNodeWrite) \
  X(AllocationsExec, "Allocations.Exec", kStream, AllocExecRequest, StreamReply, kObject, kClient, kSmall, kAllocExec) \
  X(ClientStatsStats, "ClientStats.Stats", kRead, ClientStatsRequest, ClientStatsReply, kNone, kClient, kSmall, kNodeRead) \
  X(FileSystemList, "FileSystem.List", kRead, FsListRequest, FsListReply, kObject, kClient, kSmall, kReadFs) \
  X(FileSystemStat, "FileSystem.Stat", kRead, FsStatRequest, FsStatReply, kObject, kClient, kSmall, kReadFs) \
  X(FileSystemReadAt, "FileSystem.ReadAt", kStream, FsReadRequest, StreamReply, kObject, kClient, kSmall, kReadFs) \
  X(FileSystemStream, "FileSystem.Stream", kStream, FsReadRequest, StreamReply, kObject, kClient, kSmall, kReadFs) \
  X(FileSystemLogs, "FileSystem.Logs", kStream, FsLogsRequest, StreamReply, kObject, kClient, kSmall, kReadLogs, kReadFs) \
  X(AgentSelf, "Agent.Self", kRead, AgentRequest, AgentReply, kNone, kClient, kSmall, kAgentRead) \
  X(AgentHealth, "Agent.Health", kRead, AgentRequest, AgentReply, kNone, kAnyone, kSmall) \
  X(AgentMetrics, "Agent.Metrics", kRead, AgentRequest, AgentReply, kNone, kAnyone, kSmall) \
  X(MachineInfo, "Machine.Info", kRead, MachineRequest, MachineInfoReply, kNone, kServer, kSmall, kAgentRead) \
  X(MachineDmesg, "Machine.Dmesg", kRead, MachineRequest, MachineDmesgReply, kNone, kServer, kScarce, kAgentRead) \
  X(MachineLogs, "Machine.Logs", kRead, MachineRequest, MachineLogsReply, kNone, kServer, kScarce, kAgentRead) \
  X(MachineServices, "Machine.Services", kRead, MachineRequest, MachineServicesReply, kNone, kServer, kScarce, kAgentRead) \
  X(MachineDisks, "Machine.Disks", kRead, MachineRequest, MachineDisksReply, kNone, kServer, kScarce, kAgentRead) \
  X(MachineMounts, "Machine.Mounts", kRead, MachineRequest, MachineMountsReply, kNone, kServer, kScarce, kAgentRead) \
  X(MachineProcesses, "Machine.Processes", kRead, MachineRequest, MachineProcessesReply, kNone, kServer, kScarce, kAgentRead) \
  X(MachineTime, "Machine.Time", kRead, MachineRequest, MachineTimeReply, kNone, kServer, kSmall, kAgentRead) \
  X(MachineSlots, "Machine.Slots", kRead, MachineRequest, MachineSlotsReply, kNone, kServer, kScarce, kAgentRead) \
  X(MachineReboot, "Machine.Reboot", kWrite, MachineEndRequest, MachineEndReply, kNone, kServer, kScarce, kAgentWrite) \
  X(MachinePoweroff, "Machine.Poweroff", kWrite, MachineEndRequest, MachineEndReply, kNone, kServer, kScarce, kAgentWrite) \
  X(MachineUpload, "Machine.Upload", kWrite, MachineUploadRequest, MachineUploadReply, kNone, kServer, kUpload, kAgentWrite) \
  X(MachineStage, "Machine.Stage", kWrite, MachineSlotsChangeRequest, MachineSlotsChangeReply, kNone, kServer, kScarce, kAgentWrite) \
  X(MachineTry, "Machine.Try", kWrite, MachineSlotsChangeRequest, MachineSlotsChangeReply, kNone, kServer, kScarce, kAgentWrite) \
  X(MachineBless, "Machine.Bless", kWrite, MachineSlotsChangeRequest, MachineSlotsChangeReply, kNone, kServer, kScarce, kAgentWrite) \
  X(MachineRevert, "Machine.Revert", kWrite, MachineSlotsChangeRequest, MachineSlotsChangeReply, kNone, kServer, kScarce, kAgentWrite) \
  X(MachineForgive, "Machine.Forgive", kWrite, MachineSlotsChangeRequest, MachineSlotsChangeReply, kNone, kServer, kScarce, kAgentWrite)
// clang-format on
