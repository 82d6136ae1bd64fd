# The job that tools/run starts: a static program fetched as an artifact, run in a root of its own.
variable "source" {
  type        = string
  description = "where hello.tar.gz is served"
}

variable "checksum" {
  type        = string
  description = "sha256:... of hello.tar.gz"
}

variable "word" {
  type        = string
  description = "a value drawn by whoever runs the job; it comes back in the log"
}

job "hello" {
  group "web" {
    task "server" {
      driver = "exec"

      artifact {
        source = var.source
        options {
          checksum = var.checksum
        }
      }

      config {
        command = "local/hello-service"
      }

      env {
        HELLO_WORD = var.word
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
