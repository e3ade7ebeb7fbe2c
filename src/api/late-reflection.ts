// gRPC server reflection, made when it is asked for first. Few daemons ever are, and it takes a fifth of the processor time of a
// start: proto/ read once more, descriptors of all of it, decoded twice by the library.
import type { handleBidiStreamingCall, MethodDefinition, Server, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { protoPath as healthProtoPath } from "grpc-health-check";
import { readAsWritten } from "./proto.ts";
import { reflectable } from "./reflection.ts";

const PATHS = ["v1", "v1alpha"].map((version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`);

interface Made {
  readonly method: MethodDefinition<unknown, unknown>;
  readonly handler: handleBidiStreamingCall<unknown, unknown>;
}

/** What the library would have added to a server, by path. */
function make(): ReadonlyMap<string, Made> {
  const made = new Map<string, Made>();
  const catcher = {
    addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
      for (const [name, method] of Object.entries(definition)) {
        made.set(method.path, { method, handler: implementation[name] as Made["handler"] });
      }
    },
  };
  const described = { ...readAsWritten(), ...loadSync(healthProtoPath, { keepCase: true }) };
  new ReflectionService(reflectable(described)).addToServer(catcher as unknown as Server);
  return made;
}

export function addReflection(server: Server): void {
  let known: ReadonlyMap<string, Made> | undefined;
  for (const path of PATHS) {
    const made = (): Made => {
      known ??= make();
      return known.get(path)!;
    };
    const method: MethodDefinition<unknown, unknown> = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: (value) => made().method.requestSerialize(value),
      requestDeserialize: (bytes) => made().method.requestDeserialize(bytes),
      responseSerialize: (value) => made().method.responseSerialize(value),
      responseDeserialize: (bytes) => made().method.responseDeserialize(bytes),
    };
    const handler: Made["handler"] = (call) => made().handler(call);
    server.addService({ ServerReflectionInfo: method }, { ServerReflectionInfo: handler });
  }
}
