job "api" {
  region      = "global"
  datacenters = ["dc1", "dc2"]
  priority    = 70

  update {
    max_parallel      = 2
    min_healthy_time  = "15s"
    healthy_deadline  = "3m"
    progress_deadline = "10m"
    auto_revert       = true
    canary            = 1
    stagger           = "30s"
  }

  migrate {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "10s"
    healthy_deadline = "5m"
  }

  meta {
    owner = "platform"
    cost  = 42
  }

  group "frontend" {
    count = 4

    network {
      mode = "bridge"
      port "http" {}
      port "metrics" {
        to           = -1
        host_network = "private"
      }
      dns {
        servers  = ["10.0.0.53"]
        searches = ["internal.example"]
        options  = ["ndots:2"]
      }
    }

    service {
      name         = "${TASKGROUP}-web"
      port         = "http"
      tags         = ["v${NOMAD_META_version}", "leader"]
      canary_tags  = ["canary"]
      address_mode = "auto"

      meta {
        version = "1.4.2"
      }

      check {
        name     = "${BASE}-alive"
        type     = "http"
        path     = "/health?full=1"
        method   = "POST"
        interval = "10s"
        timeout  = "2s"
        body     = "{}"

        header {
          Authorization = ["Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="]
          X-Probe       = ["a", "b"]
        }

        check_restart {
          limit           = 3
          grace           = "90s"
          ignore_warnings = true
        }
      }

      check {
        type           = "tcp"
        port           = "metrics"
        interval       = "30s"
        timeout        = "5s"
        initial_status = "passing"
      }
    }

    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "1h"
      unlimited      = true
    }

    disconnect {
      lost_after = "6h"
      replace    = false
      reconcile  = "keep_original"
    }

    scaling {
      enabled = true
      min     = 2
      max     = 10

      policy {
        cooldown            = "1m"
        evaluation_interval = "30s"

        check "avg_cpu" {
          source = "prometheus"
          query  = "avg(nomad_client_allocs_cpu_total_percent)"

          strategy "target-value" {
            target = 70.5
          }
        }
      }
    }

    shutdown_delay = "8s"

    task "server" {
      driver = "exec"
      user   = "www-data"
      leader = true

      config {
        command = "/usr/bin/server"
        args = [
          "-listen", ":${NOMAD_PORT_http}",
          "-group", "${NOMAD_GROUP_NAME}",
        ]
      }

      artifact {
        source      = "https://releases.example.org/server_1.4.2_linux_${attr.cpu.arch}.tar.gz"
        destination = "local/server"
        mode        = "dir"
        chown       = true

        options {
          checksum = "sha256:195eb97b53e9ac57d6aef06dd5a7b0a7fee5be5dcb3fd0be7a7a0a7e86bcd1c4"
        }
        headers {
          User-Agent = "nomad-${NOMAD_ALLOC_ID}"
        }
      }

      kill_timeout = "45s"
      kill_signal  = "SIGTERM"

      logs {
        max_files     = 5
        max_file_size = 20
      }

      resources {
        cores      = 2
        memory     = 512
        memory_max = 1024
      }
    }
  }
}
