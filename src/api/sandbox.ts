// SandboxService over the controller.
import type { Controller, SandboxView } from "../controller/types.ts";
import { invalidArgument } from "../errors.ts";
import type { SandboxRecord } from "../records/records.ts";
import { attachRequest, filePaths, present, sandboxMessage } from "./convert.ts";
import { filtered, hasLabel, type Matchers, on } from "./filters.ts";
import { naturalOrder } from "./natural-order.ts";
import { matchesText } from "./patterns.ts";
import { exposedPorts, portSpec } from "./ports.ts";
import { processId, programMessage } from "./programs.ts";
import type { AllHandlers } from "./server.ts";

const STATES: readonly string[] = ["created", "running", "exited"];

const matchers = (controller: Controller): Matchers<SandboxView> => ({
  name: (value) => on(matchesText(value), ({ sandbox }) => sandbox.name),
  id: (value) => on(matchesText(value), ({ sandbox }) => sandbox.id),
  network:
    (value) =>
    ({ endpoints }) =>
      endpoints.some(({ network }) => network.name === value || (value !== "" && network.id.startsWith(value))),
  label:
    (value) =>
    ({ sandbox }) =>
      hasLabel(sandbox.labels, value),
  status: (value) => {
    if (!STATES.includes(value)) throw invalidArgument(`invalid filter 'status=${value}': a sandbox is one of ${STATES.join(", ")}`);
    return ({ sandbox }) => controller.programState(sandbox).state === value;
  },
});

/** `stateDir`: where sandboxes have their files and `weft run -d` leaves the output of its programs. */
export function sandboxHandlers(controller: Controller, stateDir: string): AllHandlers["sandbox"] {
  const withProgram = (record: SandboxRecord, view?: SandboxView) => ({
    ...sandboxMessage(record, stateDir, view),
    ...filePaths(controller.stackOwner(record), stateDir),
    warnings: [...controller.sandboxWarnings(record)],
    program: programMessage(record, controller.programState(record)),
  });
  const message = (view: SandboxView) => ({
    ...withProgram(view.sandbox, view),
    warnings: [...controller.sandboxWarnings(view.sandbox), ...(view.discarded ?? [])],
    linkEnvironment: { ...view.linkEnvironment },
    links: view.linked.map(({ alias, sandbox: { name } }) => `/${name}:/${view.sandbox.name}/${alias}`),
  });
  return {
    async Create(request) {
      const view = await controller.createSandbox({
        ...present({ name: request.name, namespacePath: request.namespacePath, hostname: request.hostname }),
        ...(request.attachments.length === 0 ? {} : { networks: request.attachments.map(attachRequest) }),
        labels: request.labels,
        removeOnExit: request.removeOnExit,
        ...(request.dns === null ? {} : { dns: request.dns }),
        ...(request.publish.length === 0 ? {} : { publish: request.publish.map(portSpec) }),
        ...(request.expose.length === 0 ? {} : { expose: request.expose.map(exposedPorts) }),
        ...(request.publishAll ? { publishAll: true } : {}),
        ...present({ domainname: request.domainname }),
        ...(request.extraHosts.length === 0 ? {} : { extraHosts: request.extraHosts.map(({ name, address }) => ({ name, address })) }),
        ...(Object.keys(request.sysctls).length === 0 ? {} : { sysctls: request.sysctls }),
        ...(request.environment.length === 0 ? {} : { environment: request.environment }),
        ...(request.supervisor === null ? {} : { program: { argv: request.argv, supervisor: processId(request.supervisor) } }),
      });
      return { sandbox: message(view) };
    },
    async List(request) {
      const views = filtered(controller.listSandboxes(), request.filters, matchers(controller));
      return { sandboxes: views.sort((a, b) => naturalOrder(a.sandbox.name, b.sandbox.name)).map(message) };
    },
    async Inspect(request) {
      return { sandbox: message(controller.inspectSandbox(request.sandbox)) };
    },
    async Update(request) {
      const { sandbox, publishAdd, publishRemove } = request;
      const changes = { publishAdd: publishAdd.map(portSpec), publishRemove: publishRemove.map(portSpec) };
      return { sandbox: message(await controller.updateSandbox(sandbox, changes)) };
    },
    async Remove(request) {
      const removed = await controller.removeSandbox(request.sandbox, request.force);
      return { sandbox: sandboxMessage(removed, stateDir) };
    },
    async Stop({ sandbox, signal, timeoutSeconds }) {
      const timeout = timeoutSeconds === undefined ? {} : { timeoutS: timeoutSeconds };
      return { sandbox: withProgram(await controller.stopSandbox(sandbox, { ...present({ signal }), ...timeout })) };
    },
    async Rename(request) {
      return { sandbox: withProgram(await controller.renameSandbox(request.sandbox, request.name)) };
    },
    async Started(request) {
      if (request.process === null) throw invalidArgument("which process is it? give its pid and start");
      const supervisor = request.supervisor === null ? null : processId(request.supervisor);
      await controller.programStarted(request.sandbox, { process: processId(request.process), supervisor });
      return {};
    },
  };
}
