package headeredit

import "bytes"

// Edits are made in their order.
type Edits []Edit

// Apply makes the edits on head: a first line, header lines, and the empty line
// that ends them, each with CRLF. It returns the new head, in the same memory
// if that is large enough. In a request, "_" in a name counts as "-": servers
// that hand headers on as environment variables cannot tell them apart.
func (es Edits) Apply(head []byte, m Message, values Values) []byte {
	for i := range es {
		e := &es[i]
		if e.action != add {
			head = e.strip(head, m)
		}
		if e.action == remove {
			continue
		}
		head = append(head[:len(head)-2], e.name...)
		head = append(head, ": "...)
		for j := range e.value {
			if p := &e.value[j]; p.of == none {
				head = append(head, p.text...)
			} else {
				head = values.AppendVariable(head, p.of, p.name)
			}
		}
		head = append(head, "\r\n\r\n"...)
	}
	return head
}

// strip takes the lines of e's name off head.
func (e *Edit) strip(head []byte, m Message) []byte {
	from := bytes.IndexByte(head, '\n') + 1
	kept := from
	for from < len(head) {
		n := bytes.IndexByte(head[from:], '\n') + 1
		line := head[from : from+n]
		from += n
		if colon := bytes.IndexByte(line, ':'); colon > 0 && e.matches(line[:colon], m) {
			continue
		}
		if kept+n == from { // nothing was taken off yet
			kept = from
			continue
		}
		kept += copy(head[kept:], line)
	}
	return head[:kept]
}

// Touches reports whether one of the edits decides alone what there is of the
// header called name.
func (es Edits) Touches(name []byte, m Message) bool {
	for i := range es {
		if e := &es[i]; e.action != add && e.matches(name, m) {
			return true
		}
	}
	return false
}

// matches reports whether name is e's, in any case.
func (e *Edit) matches(name []byte, m Message) bool {
	if len(name) < len(e.name) || len(name) > len(e.name) && !e.prefix {
		return false
	}
	for i := range len(e.name) {
		if fold(name[i], m) != fold(e.name[i], m) {
			return false
		}
	}
	return true
}

func fold(c byte, m Message) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	if c == '_' && m == Request {
		return '-'
	}
	return c
}
