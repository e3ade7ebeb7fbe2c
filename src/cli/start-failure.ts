// Why a program could not be started, for people: Docker's words, which are a shell user's too, and what to do. In comes the errno
// of execve(2), which says ENOENT as well where the file is there and its interpreter is not.
import { existsSync, statSync } from "node:fs";

const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

/** As `env` and `docker run` end: 127 there is no such program, 126 there is but it can't be run. */
export const startExitCode = (errno: string): number => (errno === "ENOENT" || errno === "ENOTDIR" ? NOT_FOUND : NOT_EXECUTABLE);

/** `errno`: its name. */
export function startFailure(program: string, sandbox: string, errno: string): string {
  return `cannot run "${program}" in sandbox ${sandbox}: ${reason(program, errno)}`;
}

function reason(program: string, errno: string): string {
  switch (errno) {
    case "ENOENT":
      if (program === "") return "it has no name";
      if (!program.includes("/")) return "executable file not found in $PATH";
      if (existsSync(program)) return "the interpreter that it names is not there (its first line, or its loader)";
      return "no such file or directory";
    case "ENOTDIR":
      return "no such file or directory";
    case "EACCES":
      if (isFolder(program)) return "is a directory";
      return "permission denied: is it executable (chmod +x)?";
    case "ENOEXEC":
      return "exec format error: it is no program of this machine, or a script whose first line is not #!INTERPRETER";
    case "E2BIG":
      return "argument list too long: its arguments and variables take more than the kernel passes on";
    default:
      return errno;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
