# Whether others than we can read our descriptors: file descriptors (base64, JSON list on stdin) built by Google's own library,
# which checks what protoc checks. Prints {message: {field: [JSON name, whether it is a map, whether it is optional]}}.
import base64
import json
import sys

from google.protobuf import descriptor_pb2, descriptor_pool

files = {}
for text in json.load(sys.stdin):
    file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text))
    files[file.name] = file
pool = descriptor_pool.DescriptorPool()
added = set()


def add(name):
    if name in added:
        return
    added.add(name)
    for needed in files[name].dependency:
        add(needed)
    pool.Add(files[name])


for name in files:
    add(name)
told = {}
for file in files.values():
    for message in file.message_type:
        whole = f"{file.package}.{message.name}"
        told[whole] = {}
        optional = {field.name: field.proto3_optional for field in message.field}
        for field in pool.FindMessageTypeByName(whole).fields:
            is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
            told[whole][field.name] = [field.json_name, bool(is_map), optional[field.name]]
print(json.dumps(told))
