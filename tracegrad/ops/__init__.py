"""The closed basis of ops, each declared once with its shape rule, eager code, derivative rules and lowering."""
