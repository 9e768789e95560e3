"""The doctor: looks at one installation, says what is wrong with it and how to mend it, with or without a connector."""
