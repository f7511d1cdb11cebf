"""The OpenFlow switch: codecs, tables, connections, and translation to datapath actions."""
