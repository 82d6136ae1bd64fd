
# A client and server, as people write it.
datacenter = "dc7"
data_dir   = "/var/lib/nomad"
log_level  = "DEBUG"
bind_addr  = "{{ GetInterfaceIP \"eth0\" }}"
ports { http = 5646, rpc = 5647 }
advertise {
  http = "10.0.0.5"
}
http_api_response_headers {
  "Access-Control-Allow-Origin" = "*"
}
server {
  enabled          = true
  bootstrap_expect = 3
  encrypt          = "c2VjcmV0"
  node_gc_threshold = "48h"
  retry_join = ["10.0.0.6"]
  server_join {
    retry_join     = ["10.0.0.7"]
    retry_interval = "15s"
  }
  default_scheduler_config {
    scheduler_algorithm = "spread"
    preemption_config { batch_scheduler_enabled = true }
  }
}
client {
  enabled = true
  servers = ["10.0.0.5:4647"]
  meta {
    rack   = "r1"
    "a.b"  = 2
  }
  options = {
    "driver.raw_exec.enable" = "1"
  }
  reserved {
    cpu            = 500
    reserved_ports = "22,80"
  }
  host_volume "data" {
    path      = "/srv/data"
    read_only = true
  }
  host_network "private" { cidr = "10.0.0.0/8" }
  drain_on_shutdown { deadline = "5m" }
  fingerprint "env_aws" { retry_attempts = 3 }
  cpu_disable_dmidecode = true
}
plugin "docker" {
  config {
    allow_privileged = true
    volumes { enabled = true }
    gc {
      image_delay = "1h"
      dangling_containers { enabled = false }
    }
  }
}
plugin "raw_exec" { config { enabled = true } }
acl { enabled = true }
telemetry {
  prometheus_metrics = true
  statsd_address     = "127.0.0.1:8125"
}
consul { address = "1.2.3.4:8500" }
limits { http_max_conns_per_client = 0 }
