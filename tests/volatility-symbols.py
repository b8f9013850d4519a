#!/usr/bin/env python3
"""Writes the symbol table that volatility3 wants for a kernel (its ISF, JSON) from a vmlinux with debug information.

usage: volatility-symbols.py VMLINUX FILE.json     with the Python that has drgn

Of the types, those that volatility3 names and all that they are made of.
"""

import base64
import json
import struct
import subprocess
import sys

import drgn

ROOTS = """file list_head hlist_head mm_struct super_block task_struct vm_area_struct qstr dentry fs_struct files_struct
kobject cred inode idr address_space page module bpf_prog bpf_prog_aux kernel_cap_struct scatterlist module_sect_attr
bin_attribute timespec64 vfsmount mount mnt_namespace rb_root net socket sock inet_sock unix_sock netlink_sock packet_sock
xdp_sock maple_tree latch_tree_root kernel_symbol pid pid_namespace upid xarray xa_node radix_tree_node""".split()
# Symbols that are read as objects of their type.
TYPED = {"init_task": "task_struct", "init_pid_ns": "pid_namespace"}


class Table:
    """The types of an ISF."""

    def __init__(self, program):
        self.program = program
        self.names = {}
        self.base, self.user, self.enums = {}, {}, {}
        self.base["pointer"] = {"size": 8, "signed": False, "kind": "int", "endian": "little"}
        self.base["void"] = {"size": 0, "signed": False, "kind": "void", "endian": "little"}

    def number(self, of, kind):
        signed = of.is_signed if kind == "int" else False
        self.base[of.name] = {"size": of.size, "signed": signed, "kind": kind, "endian": "little"}
        return {"kind": "base", "name": of.name}

    def named(self, of):
        """The name of a type that may have none, the same for the same type."""
        return of.tag or self.names.setdefault(str(of), f"unnamed_{len(self.names)}")

    def type(self, of):
        kinds = drgn.TypeKind
        if of.kind == kinds.TYPEDEF:
            return self.type(of.type)
        if of.kind == kinds.INT:
            return self.number(of, "char" if of.size == 1 and of.name in ("char", "unsigned char") else "int")
        if of.kind == kinds.BOOL:
            return self.number(of, "bool")
        if of.kind == kinds.FLOAT:
            return self.number(of, "float")
        if of.kind == kinds.POINTER:
            return {"kind": "pointer", "subtype": self.type(of.type)}
        if of.kind == kinds.ARRAY:
            return {"kind": "array", "count": of.length or 0, "subtype": self.type(of.type)}
        if of.kind in (kinds.STRUCT, kinds.UNION):
            return self.compound(of)
        if of.kind == kinds.ENUM:
            return self.enum(of)
        return {"kind": "function"} if of.kind == kinds.FUNCTION else {"kind": "base", "name": "void"}

    def enum(self, of):
        if not of.is_complete():
            return {"kind": "base", "name": "void"}
        name, base = self.named(of), self.type(of.type)["name"]
        constants = {constant.name: constant.value for constant in of.enumerators}
        self.enums[name] = {"size": of.type.size, "base": base, "constants": constants}
        return {"kind": "enum", "name": name}

    def compound(self, of):
        if not of.is_complete():
            try:
                of = self.program.type(of.type_name())
            except LookupError:
                return {"kind": "base", "name": "void"}
        kind, name = ("struct" if of.kind == drgn.TypeKind.STRUCT else "union"), self.named(of)
        if name not in self.user:
            fields = {}
            self.user[name] = {"kind": kind, "size": of.size, "fields": fields}
            for n, member in enumerate(of.members):
                fields[member.name or f"unnamed_field_{n}"] = self.field(member)
        return {"kind": self.user[name]["kind"], "name": name}

    def field(self, member):
        described, offset = self.type(member.type), member.bit_offset // 8
        if member.bit_field_size is not None:
            size = drgn.sizeof(member.type)
            offset = member.bit_offset // (size * 8) * size
            described = {
                "kind": "bitfield",
                "bit_position": member.bit_offset - offset * 8,
                "bit_length": member.bit_field_size,
                "type": described,
            }
        field = {"type": described, "offset": offset}
        return field if member.name else field | {"anonymous": True}


def symbols(vmlinux):
    lines = subprocess.run(["nm", vmlinux], check=True, capture_output=True, text=True).stdout.splitlines()
    words = (line.split() for line in lines)
    return {word[2]: {"address": int(word[0], 16)} for word in words if len(word) == 3}


def text_at(vmlinux, address):
    """The string at an address, out of the file."""
    with open(vmlinux, "rb") as file:
        head = file.read(64)
        at, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
        for n in range(count):
            file.seek(at + n * size)
            kind, _, offset, linear, _, length = struct.unpack_from("<IIQQQQ", file.read(size))
            if kind == 1 and linear <= address < linear + length:
                file.seek(offset + address - linear)
                return file.read(4096).split(b"\0")[0] + b"\0"
    raise SystemExit(f"{vmlinux}: nothing is loaded at {address:#x}")


def main(vmlinux, out):
    sys.setrecursionlimit(100_000)
    program = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    module = program.extra_module(vmlinux, create=True)
    module.try_file(vmlinux, force=True)
    table = Table(program)
    for root in ROOTS:
        try:
            table.type(program.type(f"struct {root}"))
        except LookupError:
            pass
    known = symbols(vmlinux)
    for name, of in TYPED.items():
        known[name]["type"] = {"kind": "struct", "name": of}
    banner = known["linux_banner"]
    text = text_at(vmlinux, banner["address"])
    banner["type"] = {"kind": "array", "count": len(text), "subtype": {"kind": "base", "name": "char"}}
    banner["constant_data"] = base64.b64encode(text).decode()
    metadata = {"format": "6.2.0", "producer": {"name": "amber", "version": "1"}, "linux": {}}
    isf = {"metadata": metadata, "base_types": table.base, "user_types": table.user, "enums": table.enums}
    with open(out, "w") as file:
        json.dump(isf | {"symbols": known}, file)


main(*sys.argv[1:])
