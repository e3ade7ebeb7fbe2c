// The API as generic tools see it (gRPC server reflection): the descriptors of proto/ as protoc would make them.
//
// The library that reads proto/ for us describes files as it keeps them, and others than itself stumble over that:
//
//   map entries          are called by the field's name; everybody else's parser insists on FieldNameEntry, and refuses the file
//   optional fields      lack the mark that tells their oneof, which is made up, from one of ours
//   fields               have JSON's names, unless they are read once more for the purpose
import type { PackageDefinition } from "@grpc/proto-loader";
import descriptor, { type IDescriptorProto, type IFieldDescriptorProto, type IFileDescriptorProto } from "protobufjs/ext/descriptor.js";

const { FileDescriptorProto } = descriptor;

/** The same definition, which must have been read with `keepCase`, with descriptors that any tool takes. */
export function reflectable(definition: PackageDefinition): PackageDefinition {
  const mended = new Map<Buffer, Buffer>();
  const mend = (file: Buffer): Buffer => {
    const known =
      mended.get(file) ??
      Buffer.from(FileDescriptorProto.encode(mendFile(FileDescriptorProto.decode(file) as IFileDescriptorProto)).finish());
    mended.set(file, known);
    return known;
  };
  return Object.fromEntries(
    Object.entries(definition).map(([name, entry]) => {
      if (!("fileDescriptorProtos" in entry)) return [name, entry];
      return [name, { ...entry, fileDescriptorProtos: (entry.fileDescriptorProtos as Buffer[]).map(mend) }];
    }),
  );
}

function mendFile(file: IFileDescriptorProto): IFileDescriptorProto {
  for (const message of file.messageType ?? []) mendMessage(message);
  return file;
}

function mendMessage(message: IDescriptorProto): void {
  for (const field of message.field ?? []) {
    const entry = message.nestedType?.find((nested) => nested.options?.mapEntry === true && nested.name === field.typeName);
    if (entry !== undefined) {
      entry.name = mapEntryName(field);
      field.typeName = entry.name;
    }
    field.jsonName = jsonName(field);
    const oneof = field.oneofIndex == null || !Object.hasOwn(field, "oneofIndex") ? undefined : message.oneofDecl?.[field.oneofIndex];
    if (oneof !== undefined && oneof.name === `_${field.name}`) field.proto3Optional = true;
  }
  for (const nested of message.nestedType ?? []) if (nested.options?.mapEntry !== true) mendMessage(nested);
}

/** "receive_errors" -> "receiveErrors" */
const jsonName = ({ name }: IFieldDescriptorProto): string => (name ?? "").replace(/_+(.)/g, (_, letter: string) => letter.toUpperCase());

/** "receive_errors" -> "ReceiveErrorsEntry", as protoc names it. */
const mapEntryName = ({ name }: IFieldDescriptorProto): string =>
  `${(name ?? "").replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase())}Entry`;
