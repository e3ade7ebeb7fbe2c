// The subset of Go's text/template behind --format. What is expected here is what Go prints for the same template and data.
import { describe, expect, it } from "vitest";
import { compileTemplate } from "../../src/cli/template/template.ts";
import { METHODS, textMap } from "../../src/cli/template/values.ts";

const DATA = {
  Name: "web",
  Count: 3,
  Zero: 0,
  Flag: true,
  Empty: "",
  Null: null,
  List: ["a", "b"],
  None: [] as string[],
  IPAM: {
    Config: [
      { Subnet: "10.1.0.0/24", Gateway: "10.1.0.1" },
      { Subnet: "fd00::/64", Gateway: "" },
    ],
  },
  Labels: textMap({ b: "2", a: "1", "with space": "3" }),
  Rows: [{ ID: "1", [METHODS]: { Label: (key: string): string => `<${key}>`, Sum: (a: number, b: number): number => a + b } }],
};

const CASES: [template: string, text: string][] = [
  ["plain", "plain"],
  ["", ""],
  ["{{.Name}}", "web"],
  ["{{ .Name }}", "web"],
  ["<{{.Name}}|{{.Count}}|{{.Flag}}|{{.Empty}}>", "<web|3|true|>"],
  ["{{.Null}}", "<no value>"],
  ["{{.List}}", "[a b]"],
  ["{{.Labels}}", "map[a:1 b:2 with space:3]"],
  ["{{.Labels.a}} {{.Labels.none}}", "1 <no value>"],
  ["{{(index .IPAM.Config 0).Subnet}}", "10.1.0.0/24"],
  ["{{.IPAM.Config}}", "[map[Gateway:10.1.0.1 Subnet:10.1.0.0/24] map[Gateway: Subnet:fd00::/64]]"],
  ['{{index .Labels "with space"}}', "3"],
  ['<{{index .Labels "none"}}>{{if eq (index .Labels "none") ""}}none{{end}}', "<>none"],
  ["{{index .List 1}}", "b"],
  ["{{len .List}} {{len .Labels}} {{len .Name}}", "2 3 3"],
  ["{{json .List}}", '["a","b"]'],
  ["{{json .Null}} {{.List | json}}", 'null ["a","b"]'],
  ['{{join .List ", "}}{{join .Null ","}}', "a, b"],
  ['{{index (split .Name "e") 1}}', "b"],
  ["{{upper .Name}} {{.Name | upper | lower}}", "WEB web"],
  ['{{printf "%s-%d-%q-%v-%5s|%-5s|%x%%" .Name .Count .Name .Flag .Name .Name 255}}', 'web-3-"web"-true-  web|web  |ff%'],
  ["{{println .Name .Count}}", "web 3\n"],
  ["{{range .List}}<{{.}}>{{end}}", "<a><b>"],
  ["{{range $i, $v := .List}}{{$i}}{{$v}} {{end}}", "0a 1b "],
  ["{{range $v := .List}}{{$v}}{{$.Name}} {{end}}", "aweb bweb "],
  ["{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;with space=3;"],
  ["{{range .None}}x{{else}}none{{end}}", "none"],
  ["{{range .IPAM.Config}}{{.Subnet}} {{end}}", "10.1.0.0/24 fd00::/64 "],
  ["{{if .Flag}}yes{{else}}no{{end}}", "yes"],
  ["{{if .Zero}}yes{{else}}no{{end}}", "no"],
  ["{{if .None}}a{{else if .Empty}}b{{else if .Name}}c{{else}}d{{end}}", "c"],
  ['{{if eq .Name "web"}}1{{end}}{{if ne .Count 3}}2{{end}}{{if gt .Count 2}}3{{end}}', "13"],
  ['{{if eq .Name "a" "web"}}1{{end}}{{if and .Flag .Empty}}2{{end}}{{if or .Empty .Flag}}3{{end}}{{if not .Zero}}4{{end}}', "134"],
  ["{{if and .Null .Flag}}1{{end}}{{if and .Flag .Null}}2{{end}}{{and .Flag .Name}}{{or .Null .Empty}}{{or .Null .Name}}", "webweb"],
  ["{{with .IPAM}}{{len .Config}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "2y"],
  ["{{$x := .Name}}{{$x}}{{$x}}", "webweb"],
  ["{{range .IPAM.Config}}{{if .Gateway}}{{.Gateway}}{{else}}-{{end}},{{end}}", "10.1.0.1,-,"],
  ["a {{- .Name -}} b", "awebb"],
  ["{{/* nothing */}}x{{- /* nothing */ -}} y", "xy"],
  ['{{"quoted }} \\"text\\""}}', 'quoted }} "text"'],
  ["{{`raw`}}", "raw"],
  ["{{true}} {{-1}}", "true -1"],
  ["}} {{.Name}}", "}} web"],
  ['{{range .Rows}}{{.ID}} {{.Label "team"}} {{"x" | .Label}} {{.Sum 1 2}} {{1 | .Sum 4 | printf "%d!"}}{{end}}', "1 <team> <x> 3 5!"],
  ['{{range $r := .Rows}}{{$r.Label "a"}}{{if eq ($r.Label $.Name) "<web>"}} yes{{end}}{{end}} {{json .Rows}}', '<a> yes [{"ID":"1"}]'],
];

describe("templates", () => {
  it.each(CASES)("%s", (template, text) => {
    expect(compileTemplate(template)(DATA)).toBe(text);
  });

  it("json of the whole", () => {
    expect(compileTemplate("{{json .}}")(DATA)).toBe(JSON.stringify(DATA));
  });

  it.each([
    ["{{.Nope}}", "can't evaluate field Nope in object with fields Name, Count"],
    ["{{.Name.Sub}}", "can't evaluate field Sub in string"],
    ["{{.IPAM.Config.Subnet}}", "can't evaluate field Subnet in list"],
    ["{{Name}}", 'function "Name" not defined'],
    ["{{.Name", "unclosed action"],
    ["{{if .Name}}x", "{{end}} is missing"],
    ["{{end}}", "unexpected {{end}}"],
    ["{{else}}", "unexpected {{else}}"],
    ["{{.Name | .Count}}", "Count has arguments but cannot be invoked as function"],
    ['{{.Nope "a"}}', "can't evaluate field Nope"],
    ["{{range .Rows}}{{.Label}}{{end}}", "wrong number of args for Label: want 1 got 0"],
    ['{{range .Rows}}{{.Label "a" "b"}}{{end}}', "wrong number of args for Label: want 1 got 2"],
    ['{{"a" | "b"}}', "unexpected"],
    ["{{(.Name}}", "unexpected end"],
    ["{{$x}}", 'undefined variable "$x"'],
    ["{{constructor .}}", 'function "constructor" not defined'],
    ['{{join .Name ","}}', "can't join string"],
    ["{{index .List 5}}", "index out of range: 5"],
    ["{{index .Name 0}}", "can't index string"],
    ["{{range .Name}}{{end}}", "range can't iterate over string"],
    ["{{ @ }}", "unexpected"],
    ["{{.Name Count}}", 'function "Count" not defined'],
  ])("%s is refused", (template, reason) => {
    expect(() => compileTemplate(template)(DATA)).toThrow(reason);
  });
});
