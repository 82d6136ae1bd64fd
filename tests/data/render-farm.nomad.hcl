# Frames of a film, spread over the datacenters by percent: most of them where the power is cheap.
job "render-farm" {
  datacenters = ["*"]
  type        = "batch"

  spread {
    attribute = "${node.datacenter}"
    weight    = 100

    target "us-east-1" {
      percent = 70
    }
    target "us-west-1" {
      percent = 30
    }
  }

  group "frame" {
    count = 4

    restart {
      attempts = 1
      mode     = "fail"
    }

    task "render" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo frame ${NOMAD_ALLOC_INDEX} of ${NOMAD_GROUP_NAME} in ${node.datacenter}"]
      }

      logs {
        max_files     = 1
        max_file_size = 1
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
