# A shell script of the task root: what tools/run runs beside the example service.
variable "word" {
  type        = string
  description = "a value drawn by whoever runs the job; it comes back in the log"
}

job "script" {
  type = "batch"

  group "script" {
    task "script" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "for part in script $WORD on $(hostname); do printf '%s ' \"$part\"; done; echo; ls / | wc -l"]
      }

      env {
        WORD = var.word
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
