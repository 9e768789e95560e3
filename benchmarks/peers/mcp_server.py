"""The tool behind the official MCP SDK: its server over streamable HTTP, stateless, JSON. Argument: port."""

from __future__ import annotations

import sys


def main(port: int) -> None:
    """Serve until the process is ended."""
    import uvicorn
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("bench", log_level="ERROR")

    @server.tool()  # type: ignore[untyped-decorator]
    async def repeatMessage(message: str) -> str:
        """Give the message back."""
        return message

    application = server.streamable_http_app(stateless_http=True, json_response=True)
    uvicorn.run(application, port=port, loop="uvloop", log_level="error", access_log=False, timeout_keep_alive=75)


if __name__ == "__main__":
    main(int(sys.argv[1]))
