job "nightly-backup" {
  type        = "batch"
  datacenters = ["dc1"]

  periodic {
    crons            = ["15 2 * * *", "@weekly"]
    prohibit_overlap = true
    time_zone        = "Europe/Berlin"
  }

  group "backup" {
    reschedule {
      attempts  = 2
      interval  = "24h"
      unlimited = false
      delay     = "5m"
    }

    max_run_duration = "2h"

    task "dump" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo backing up at $(date) > ${NOMAD_ALLOC_DIR}/data/backup.log && sleep 1"]
      }

      constraint {
        attribute    = "${meta.storage}"
        set_contains = "ssd,local"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
